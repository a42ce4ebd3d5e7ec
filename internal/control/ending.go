package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/xen"
)

// usualTimeout is for orders that have none.
const usualTimeout = time.Minute

// Stop asks a guest to shut down and waits until it has, a minute where timeout is not positive. It does not come back,
// whatever on_poweroff says. A guest that waits for a disk, or until it is made anew, stops at once. Is it late, that
// is an ErrTimeout, or with force it is destroyed.
func (c *Controller) Stop(ctx context.Context, name string, timeout time.Duration, force bool) error {
	return c.order(ctx, name, stopOrder, func(g *host.Guest) error {
		return c.bring(ctx, g, host.WantStop, timeout, force)
	})
}

// Restart asks a guest to reboot and waits until it has, whatever on_reboot says. Timeout and force are as for Stop.
func (c *Controller) Restart(ctx context.Context, name string, timeout time.Duration, force bool) error {
	return c.order(ctx, name, restartOrder, func(g *host.Guest) error {
		return c.bring(ctx, g, host.WantRestart, timeout, force)
	})
}

// Destroy ends a guest at once, and waits until it is gone. It does not come back. It may be ordered while a Stop or a
// Restart is waiting.
func (c *Controller) Destroy(ctx context.Context, name string) error {
	return c.order(ctx, name, destroyOrder, func(g *host.Guest) error {
		if !g.Managed && g.Domid == 0 {
			return notNow(name, "is between two domains of its own xl: try it again")
		}
		return c.press(ctx, g, host.WantDestroy, c.kill)
	})
}

// bring asks a guest to end as is wanted, and waits until it has.
func (c *Controller) bring(
	ctx context.Context, g *host.Guest, want host.Want, timeout time.Duration, force bool,
) error {
	if err := cannotEnd(g, want); err != nil && (!force || g.Domid == 0) {
		return err
	} else if err != nil {
		return c.press(ctx, g, want, c.kill)
	}
	if timeout <= 0 {
		timeout = usualTimeout
	}
	limit, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := c.press(limit, g, want, c.ask)
	switch {
	case err == nil || ctx.Err() != nil || errors.Is(err, ErrPhase):
		return err
	case force:
		return c.press(ctx, g, want, c.kill)
	case limit.Err() != nil:
		return &refusal{ErrTimeout, fmt.Sprintf(
			"guest %q has been asked and has not ended within %s; wait longer, or force it", g.Name, timeout)}
	}
	c.State.Tell(host.Wanted{UUID: g.UUID}) // it could not be asked
	return fmt.Errorf("guest %q: %w", g.Name, err)
}

// cannotEnd says why there is no point in asking a guest to end.
func cannotEnd(g *host.Guest, want host.Want) error {
	switch {
	case g.Paused:
		return notNow(g.Name, "is paused and cannot shut down; resume it first, or force it")
	case g.Shutdown == host.Suspend:
		return notNow(g.Name, "is suspended and cannot shut down; destroy it")
	case g.Phase == host.Crashed || g.Phase == host.Failed:
		return notNow(g.Name, "does not run (%s), and its domain is kept; destroy it", g.Phase)
	case !g.Managed && g.Domid == 0:
		return notNow(g.Name, "is between two domains of its own xl: try it again")
	case want == host.WantRestart && g.Phase == host.Waiting:
		return notNow(g.Name, "has not run yet: it waits to be started")
	}
	return nil
}

// press says what is wanted of a guest, does what brings that about, with each of its domains once, and waits until it
// is so.
func (c *Controller) press(
	ctx context.Context, g *host.Guest, want host.Want, do func(context.Context, *host.Guest, host.Want) error,
) error {
	first, pressed := *g, 0
	c.State.Tell(host.Wanted{UUID: g.UUID, Want: want})
	return c.await(ctx, identify(g), func(g *host.Guest) (bool, error) {
		if done, err := came(g, &first, want); done || err != nil {
			return done, err
		}
		again := want == host.WantRestart && first.Domid != 0 && g.Domid != first.Domid
		if g.Domid == 0 || g.Domid == pressed || g.Phase == host.Creating || again {
			return false, nil
		}
		pressed = g.Domid
		return false, do(ctx, g, want)
	})
}

// came says whether what is wanted of a guest has come about. first is the guest as it was then.
func came(g, first *host.Guest, want host.Want) (bool, error) {
	switch {
	case g == nil:
		return want != host.WantRestart, nil
	case first.Managed && !g.Managed && g.Phase.Live():
		return false, notNow(g.Name, "was made by hand meanwhile")
	case first.Managed && !g.Managed && g.Phase == host.Failed && g.Domid != 0:
		return false, notNow(g.Name, "does not go: %s", g.Problem)
	case first.Managed && !g.Managed && want == host.WantRestart:
		return false, notNow(g.Name, "was not made anew: it is %s: %s", g.Phase, g.Problem)
	case want == host.WantRestart:
		return g.Phase == host.Running && g.Domid != first.Domid && g.Domid != 0, nil
	case first.Managed:
		return !g.Managed && g.Domid == 0, nil
	}
	// Its own xl does as it is configured.
	return g.Domid != first.Domid || want == host.WantStop && g.Shutdown != "", nil
}

// ask asks a guest that runs to do what is wanted of it. One without Xen drivers cannot be asked to reboot; where it
// would be made anew however it ends, it is asked to power off.
func (c *Controller) ask(ctx context.Context, g *host.Guest, want host.Want) error {
	if g.Phase != host.Running || g.Shutdown != "" {
		return nil // it ends already
	}
	var err error
	switch want {
	case host.WantDestroy:
		return c.kill(ctx, g, want)
	case host.WantRestart:
		err = c.Xen.Reboot(ctx, g.Domid)
	}
	if want == host.WantStop || g.Managed && errors.Is(err, xen.ErrNoDrivers) {
		err = c.Xen.Shutdown(ctx, g.Domid)
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	_ = c.look(ctx, 0)
	if now := identify(g).in(c.State.Snapshot()); now == nil || now.Domid != g.Domid || now.Shutdown != "" {
		return nil // it was faster
	}
	return err
}

// kill destroys a guest's domain.
func (c *Controller) kill(ctx context.Context, g *host.Guest, _ host.Want) error {
	return c.Xen.Destroy(ctx, g.Domid)
}
