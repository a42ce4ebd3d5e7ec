package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/memory"
)

// order is what a guest's life is to do while the guest runs.
type order struct {
	do   func(ctx context.Context, domid int) error
	done chan error // one element
}

// change changes a guest that runs: in its life where it is managed, so that it is made with the change from then on. A
// change that has begun is made even when ctx ends.
func (c *Controller) change(
	ctx context.Context, name, what string,
	managed func(ctx context.Context, l *life, domid int) error, byHand func(ctx context.Context, g *host.Guest) error,
) error {
	return c.order(ctx, name, what, func(g *host.Guest) error {
		g, err := c.running(ctx, g)
		if err != nil {
			return err
		}
		l := c.lives.of(g.UUID)
		switch {
		case !g.Managed:
			err = byHand(context.WithoutCancel(ctx), g)
		case l == nil:
			err = errEnded
		default:
			err = l.give(ctx, func(ctx context.Context, domid int) error { return managed(ctx, l, domid) })
		}
		if err != nil && !errors.Is(err, ErrPhase) {
			return fmt.Errorf("guest %q: %w", name, err)
		}
		return err
	})
}

// give gives an order to a life, and waits until it is done.
func (l *life) give(ctx context.Context, do func(ctx context.Context, domid int) error) error {
	o := order{do, make(chan error, 1)}
	select {
	case l.orders <- o:
	case <-l.over:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// obey carries out an order on the guest's domain.
func (l *life) obey(ctx context.Context, do func(ctx context.Context, domid int) error) error {
	g := l.State.Snapshot().ByUUID(l.uuid)
	if gone(g) || g.Shutdown != "" {
		return notRunning(g)
	}
	return do(ctx, g.Domid)
}

// settle makes a change last: the guest's next domain has it, and so it is for whoever goes on after a crash.
func (l *life) settle(spec *guests.Resolved) {
	l.spec = spec
	if err := l.write(); err != nil {
		l.Log.Warn("guest", "guest", spec.Name, "err", err,
			"remedy", "if init crashes the guest loses what was changed")
	}
	l.State.Tell(host.GuestChanged{Spec: spec})
}

// Rename gives a guest another name, under which it can be started again, too. Its MAC addresses stay.
func (c *Controller) Rename(ctx context.Context, name, to string) error {
	if err := guests.CheckName(to); err != nil {
		return err
	}
	return c.change(ctx, name, "rename",
		func(ctx context.Context, l *life, domid int) error { return l.rename(ctx, domid, to) },
		func(ctx context.Context, g *host.Guest) error { return c.rename(ctx, g.Domid, to) })
}

// rename gives a domain a name that nobody has, and nobody gets meanwhile.
func (c *Controller) rename(ctx context.Context, domid int, to string) error {
	select {
	case c.admitting <- struct{}{}:
		defer func() { <-c.admitting }()
	case <-ctx.Done():
		return ctx.Err()
	}
	now := c.State.Snapshot()
	if now.ByName(to) != nil || startedAs(now, to) != nil {
		return &refusal{ErrPhase, fmt.Sprintf("there is a guest with the name %q already; choose another one", to)}
	}
	if err := c.Xen.Rename(ctx, domid, to); err != nil {
		return err
	}
	c.State.Tell(host.Named{Domid: domid, Name: to})
	return nil
}

func (l *life) rename(ctx context.Context, domid int, to string) error {
	if err := l.Controller.rename(ctx, domid, to); err != nil {
		return err
	}
	old := l.file
	l.file = filepath.Join(l.Dir, to+".cfg")
	spec := l.spec.Renamed(to)
	l.memory.Rename(to)
	l.disks.Rename(spec)
	l.settle(spec)
	for _, err := range []error{os.Remove(old), l.rules(to)} {
		if err != nil {
			l.Log.Debug("guest", "guest", to, "err", err)
		}
	}
	return nil
}

// RefreshRules has the network rules of all guests be what [Config.Rules] says now. It waits for those of guests that
// run; a guest whose domain is being made gets them as soon as it runs.
func (c *Controller) RefreshRules(ctx context.Context) error {
	now := c.State.Snapshot()
	var waited []chan error
	for _, l := range c.lives.all() {
		done := make(chan error, 1)
		go func() {
			done <- l.give(ctx, func(context.Context, int) error {
				if err := l.rules(l.spec.Name); err != nil {
					return fmt.Errorf("guest %q: %w", l.spec.Name, err)
				}
				return nil
			})
		}()
		if g := now.ByUUID(l.uuid); g != nil && g.Phase == host.Running {
			waited = append(waited, done)
		}
	}
	var errs []error
	for _, done := range waited {
		if err := <-done; !errors.Is(err, ErrPhase) { // one that has ended gets them with its next domain
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

const mib = 1 << 10 // KiB

// leastKiB is less than any kernel boots in, and xl's default for a guest.
const leastKiB = 32 * mib

// What Xen says of a guest's memory may differ from what it was to have: by what is for its console, its store, or its
// screen. Changes take the guest's own driver some seconds.
const (
	memorySlack    = 8 * mib
	changePatience = 20 * time.Second
)

// SetMemory changes how much memory a guest has, KiB in whole MiB, up to its maxmem, and waits until it has. It is made
// with as much from then on. More is reserved first; a guest that does not do it gets back what it had.
func (c *Controller) SetMemory(ctx context.Context, name string, kib int64) error {
	kib = (kib + mib - 1) / mib * mib
	return c.change(ctx, name, "set memory",
		func(ctx context.Context, l *life, domid int) error { return l.setMemory(ctx, domid, kib) },
		func(ctx context.Context, g *host.Guest) error {
			if kib < min(leastKiB, g.MemoryKiB) {
				return tooLittle(kib)
			}
			account := c.Ledger.Adopt(g.Name, g.MemoryKiB)
			defer account.Release()
			return c.resize(ctx, g.Domid, account, size{g.MemoryKiB, g.MemoryKiB}, size{kib, kib})
		})
}

func tooLittle(kib int64) error {
	return fmt.Errorf("%d MiB are too little: give it %d MiB at least", kib/mib, leastKiB/mib)
}

func (l *life) setMemory(ctx context.Context, domid int, kib int64) error {
	now := l.spec.Memory
	switch {
	case kib > now.MaxRAM:
		return fmt.Errorf("%d MiB are more than the %d MiB that it may have (maxmem); "+
			"write maxmem = %d in its configuration, and start it anew", kib/mib, now.MaxRAM/mib, kib/mib)
	case kib < min(leastKiB, now.RAM):
		return tooLittle(kib)
	}
	spec := l.spec.WithMemory(kib / mib)
	from, to := size{now.RAM, l.spec.NeedKiB()}, size{kib, spec.NeedKiB()}
	if err := l.resize(ctx, domid, l.memory, from, to); err != nil {
		return err
	}
	l.settle(spec)
	return nil
}

// size is a guest's memory, KiB, and what is reserved for it.
type size struct{ ram, need int64 }

// resize changes a domain's memory. What it grows by is reserved before, what it shrinks by is given back afterwards.
func (c *Controller) resize(ctx context.Context, domid int, account *memory.Guest, from, to size) error {
	if to.need > from.need {
		if err := account.Resize(ctx, to.need); err != nil {
			return fmt.Errorf("from %d to %d MiB: %w", from.ram/mib, to.ram/mib, err)
		}
	}
	err := c.Xen.SetMemory(ctx, domid, to.ram)
	if err == nil {
		err = c.watch(ctx, domid, func(g *host.Guest) error {
			grown, shrunk := g.MemoryKiB >= to.ram-memorySlack, g.MemoryKiB <= to.ram+memorySlack
			if to.ram > from.ram && grown || to.ram <= from.ram && shrunk {
				return nil
			}
			return fmt.Errorf("it has %d MiB in place of %d, and gets back the %d that it had: "+
				"its kernel has no balloon driver, or needs the memory", g.MemoryKiB/mib, to.ram/mib, from.ram/mib)
		})
	}
	if err != nil {
		if back := c.Xen.SetMemory(ctx, domid, from.ram); back != nil {
			c.Log.Debug("set memory", "domid", domid, "err", back)
		}
		to = from
	}
	if shrunk := account.Resize(ctx, to.need); shrunk != nil && err == nil {
		err = shrunk
	}
	account.Settle()
	return err
}

// watch looks at a domain until it is as so wants, whose last error it returns when that takes too long.
func (c *Controller) watch(ctx context.Context, domid int, so func(g *host.Guest) error) error {
	late := time.After(changePatience)
	for {
		err := c.look(ctx, 0)
		g := identity{domid: domid}.in(c.State.Snapshot())
		switch {
		case g == nil || g.Shutdown != "":
			return notRunning(g)
		case err == nil:
			err = so(g)
		}
		if err == nil {
			return nil
		}
		select {
		case <-late:
			return err
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
