package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/api"
	"github.com/zerodisc/zerodisc/internal/control"
	"github.com/zerodisc/zerodisc/internal/disksave"
	"github.com/zerodisc/zerodisc/internal/guestconsole"
)

// serveAPI serves the local API until ctx ends.
func (o *owners) serveAPI(ctx context.Context) {
	o.watch(ctx, "api", func(ctx context.Context) error {
		listener, err := api.Listen(boot.APISocket)
		if err != nil {
			return err
		}
		return api.Serve(ctx, listener, api.Control, api.Config{
			State: o.state, Orders: o.controller, Consoles: consoles{o.consoles},
			Logs:  api.HostLog{Dir: boot.LogsDir, Init: sourceInit},
			Meter: o.meter, Save: saveGuest, Status: orderStatus, Log: o.log,
		})
	})
}

// orderStatus is the status code for an error of an order.
func orderStatus(err error) int {
	switch {
	case errors.Is(err, control.ErrNoGuest), errors.Is(err, control.ErrNoDevice):
		return http.StatusNotFound
	case errors.Is(err, control.ErrPhase), errors.Is(err, control.ErrWaits):
		return http.StatusConflict
	case errors.Is(err, control.ErrTimeout):
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// consoles are guests' consoles as the API wants them.
type consoles struct{ *guestconsole.Hub }

func (c consoles) Open(uuid string, from int64) (api.Session, error) { return c.Hub.Open(uuid, from) }

// saveGuest saves a guest, or one of its disks, in a process of its own.
func saveGuest(ctx context.Context, guest string, what api.SavePost, tell func(api.Progress), note func(string)) error {
	want := disksave.Want{Guest: guest, Disk: what.Disk, File: what.File, Replace: what.Replace}
	return disksave.Save(ctx, boot.InitProgram, want, func(t disksave.Told) {
		if t.Note != "" {
			note(t.Note)
			return
		}
		tell(api.Progress{Step: t.Step, Done: t.Done, Total: t.Total})
	})
}
