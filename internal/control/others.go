package control

import (
	"context"
	"time"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/memory"
)

// remakeTimeout is how long a guest that was made by hand and reboots keeps its name and its memory without
// a domain: its xl waits two seconds and then makes the domain anew.
const remakeTimeout = 30 * time.Second

// other is a guest that was made by hand and is being rebooted by its own xl.
type other struct {
	memory *memory.Guest
	gone   time.Time // since when it has no domain, zero while it has one
}

// followOthers keeps the names and the memory of guests that were made by hand while their own xl reboots them.
func (c *Controller) followOthers(ctx context.Context) {
	rebooting := map[string]*other{} // by UUID
	updates := c.State.Subscribe(ctx)
	for {
		now := c.State.Snapshot()
		var tick <-chan time.Time // a quiet host is left in peace
		if len(rebooting) > 0 {
			tick = time.After(time.Second)
		}
		select {
		case update := <-updates:
			now = update.Snapshot
		case <-tick:
		case <-ctx.Done():
			return
		}
		for i := range now.Guests {
			c.followOther(&now.Guests[i], rebooting)
		}
	}
}

// followOther looks at one guest.
func (c *Controller) followOther(g *host.Guest, rebooting map[string]*other) {
	o := rebooting[g.UUID]
	switch {
	case g.Managed || g.UUID == "":
	case o == nil && g.Shutdown == host.Reboot:
		rebooting[g.UUID] = &other{memory: c.Ledger.Adopt(g.Name, g.NeedKiB)}
		c.State.Tell(host.GuestPhase{UUID: g.UUID, Phase: host.Restarting})
	case o == nil || g.Domid != 0 && g.Shutdown != "":
	case g.Domid != 0: // it is back
		o.memory.Release()
		delete(rebooting, g.UUID)
	case o.gone.IsZero():
		o.gone = time.Now()
		o.memory.Vacate()
	case time.Since(o.gone) > remakeTimeout:
		o.memory.Release()
		delete(rebooting, g.UUID)
		c.State.Tell(host.GuestPhase{UUID: g.UUID, Phase: host.Stopped})
	}
}
