package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/control"
	"github.com/zerodisc/zerodisc/internal/guarded"
	"github.com/zerodisc/zerodisc/internal/guestconsole"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/imageserver"
	"github.com/zerodisc/zerodisc/internal/memory"
	"github.com/zerodisc/zerodisc/internal/vt"
	"github.com/zerodisc/zerodisc/internal/xen"
	"github.com/zerodisc/zerodisc/internal/xenstore"
)

// owners are those that own what becomes of guests, besides the state: the observer of xenstore, the ledger of
// memory, the controller, and who reads their consoles.
type owners struct {
	*system
	store      *xenstore.Client
	toolstack  *xen.Toolstack
	ledger     *memory.Ledger
	controller *control.Controller
	images     *imageserver.Servers
	consoles   *guestconsole.Hub
}

// startOwners starts the owners, which run until ctx ends. machine is what guests are resolved for.
func (s *system) startOwners(ctx context.Context, machine func() guests.Machine) (*owners, error) {
	store, err := xenstore.Dial(ctx, xenstore.Socket)
	if err != nil {
		return nil, err
	}
	toolstack := xen.NewToolstack(s.gate.Exec, store).Direct()
	consoles, err := guestconsole.New(ctx, store, s.state, s.log)
	if err != nil {
		return nil, err
	}
	ledger := newLedger(toolstack, s.memoryLimits, s.state)
	images := imageserver.New(imageserver.Config{
		Program: boot.InitProgram, Dir: boot.GuestRunDir, Services: s.services, Output: s.daemonLog,
		Report: s.reportDaemon, Gone: func(name string) { s.state.Tell(host.DaemonGone{Name: name}) }, Log: s.log,
	})
	if s.left != nil {
		images.Resume()
	}
	o := &owners{
		system: s, store: store, toolstack: toolstack, ledger: ledger, images: images,
		consoles: consoles,
		controller: control.New(control.Config{
			Xen: toolstack, State: s.state, Ledger: ledger, Disks: s.newDisks(ledger, images),
			Machine: machine, Override: s.override, Rules: s.setGuestRules,
			CheckMAC: networkRules.CheckMAC, Dir: boot.GuestRunDir, Log: s.log,
		}),
	}
	go o.controller.Run(ctx)
	s.watch(ctx, "guest-observer", o.observe)
	s.watch(ctx, "guest-screens", endless(func(ctx context.Context) {
		vt.Run(ctx, s.state, consoles, s.mayType, s.log)
	}))
	return o, nil
}

// newLedger returns the ledger of this machine's memory, which tells the state.
func newLedger(toolstack *xen.Toolstack, limits func() (guests, left int64), state *host.State) *memory.Ledger {
	balloon := xen.NewBalloon()
	return memory.New(memory.Source{
		XenFree:   toolstack.FreeKiB,
		Available: balloon.AvailableKiB,
		GiveUp:    balloon.GiveUpKiB,
		Limits:    limits,
		Take: func(ctx context.Context, kib int64) (int64, error) {
			now, err := balloon.CurrentKiB()
			if err == nil {
				err = toolstack.AllowDom0(ctx, now, now+kib)
			}
			if err != nil {
				return 0, err
			}
			return balloon.TakeKiB(ctx, kib)
		},
	}, func(entries []memory.Entry) {
		facts := make(host.Reserved, len(entries))
		for i, e := range entries {
			facts[i] = host.Memory{Owner: e.Owner, XenKiB: e.XenKiB, Dom0KiB: e.Dom0KiB}
		}
		state.Tell(facts)
	})
}

// observe keeps the state in step with xenstore, and gives every domain its seed.
func (o *owners) observe(ctx context.Context) error {
	observer := xen.Observer{
		Store: o.store, Tell: o.state.Tell, Changed: o.controller.Changed, Log: o.log,
		Came:    func(domid int, uuid string) { guarded.Go(ctx, func() { o.giveSeed(ctx, domid, uuid) }) },
		Console: o.consoles.Console,
	}
	return observer.Run(ctx)
}

// giveSeed gives a new domain random bytes.
func (o *owners) giveSeed(ctx context.Context, domid int, uuid string) {
	<-o.random
	var seed [32]byte
	_, _ = rand.Read(seed[:]) // never fails, crypto/rand
	if err := xen.GiveSeed(ctx, o.store, domid, uuid, hex.EncodeToString(seed[:])); err != nil {
		o.log.Debug("seed", "domid", domid, "err", err)
	}
}
