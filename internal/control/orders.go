package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/xen"
)

// Kinds of errors of orders, for errors.Is. Their texts say what to do.
var (
	ErrNoGuest = errors.New("there is no such guest")
	ErrPhase   = errors.New("the guest cannot do that now")
	ErrTimeout = errors.New("the guest has not ended in time")
	ErrWaits   = errors.New("the guest waits for a disk, and starts when it comes")
)

// refusal is an error of one of these kinds, in words of its own.
type refusal struct {
	kind error
	text string
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.kind }

// notNow refuses an order, as the guest is.
func notNow(name, format string, args ...any) error {
	return &refusal{ErrPhase, fmt.Sprintf("guest %q ", name) + fmt.Sprintf(format, args...)}
}

// identity names a guest through its domains and its names: by its UUID or, where it has none, by its domain.
type identity struct {
	uuid  string
	domid int
}

func identify(g *host.Guest) identity { return identity{g.UUID, g.Domid} }

// in returns the guest, nil where it is not known any more.
func (id identity) in(s *host.Snapshot) *host.Guest {
	if id.uuid != "" {
		return s.ByUUID(id.uuid)
	}
	for i := range s.Guests {
		if s.Guests[i].Domid == id.domid {
			return &s.Guests[i]
		}
	}
	return nil
}

// order carries out an order on a guest that is there. Two orders on one guest do not mix: the second is refused.
func (c *Controller) order(ctx context.Context, name, what string, do func(g *host.Guest) error) error {
	g, err := c.take(ctx, name, what)
	if err != nil {
		return err
	}
	defer c.State.Tell(host.Ordered{UUID: g.UUID, Domid: g.Domid})
	return do(g)
}

// take takes a guest for an order. A guest that is asked to end may be destroyed meanwhile.
func (c *Controller) take(ctx context.Context, name, what string) (*host.Guest, error) {
	select {
	case c.ordering <- struct{}{}:
		defer func() { <-c.ordering }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	now := c.State.Snapshot()
	g := now.ByName(name)
	switch {
	case g == nil:
		return nil, noGuest(name)
	case now.Host.Ending != "":
		return nil, errEnding(now)
	case !g.Phase.Live() && g.Domid == 0:
		return nil, notNow(name, "does not run (%s); start it first", g.Phase)
	case g.Order != "" && (what != destroyOrder || g.Wanted == ""):
		return nil, notNow(name, "has an order already (%s); wait until that is done", g.Order)
	}
	c.State.Tell(host.Ordered{UUID: g.UUID, Domid: g.Domid, Order: what})
	return g, nil
}

const destroyOrder = "destroy"

func noGuest(name string) error {
	return &refusal{ErrNoGuest, fmt.Sprintf("there is no guest %q; see guest list", name)}
}

// errEnding refuses an order because the machine ends.
func errEnding(now *host.Snapshot) error {
	return &refusal{ErrPhase, "the machine is ending (" + now.Host.Ending + "): no orders"}
}

// await waits until the guest is as so says, which gets nil when it is not known any more, or until so returns an
// error. It ends with ctx, and with the machine.
func (c *Controller) await(ctx context.Context, id identity, so func(g *host.Guest) (bool, error)) error {
	watch, cancel := context.WithCancel(ctx)
	defer cancel()
	updates := c.State.Subscribe(watch)
	for {
		select {
		case update := <-updates:
			if update.Host.Ending != "" {
				return errEnding(update.Snapshot)
			}
			if done, err := so(id.in(update.Snapshot)); done || err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// running returns the guest as it runs. One that is being created is waited for.
func (c *Controller) running(ctx context.Context, g *host.Guest) (now *host.Guest, err error) {
	err = c.await(ctx, identify(g), func(g *host.Guest) (bool, error) {
		switch {
		case g != nil && g.Phase == host.Creating:
			return false, nil
		case g != nil && g.Phase == host.Running && g.Domid != 0 && g.Shutdown == "":
			now = g
			return true, nil
		}
		return false, notRunning(g)
	})
	return now, err
}

// notRunning says why a guest that was taken for an order cannot do it.
func notRunning(g *host.Guest) error {
	switch {
	case g == nil:
		return &refusal{ErrPhase, "the guest has ended meanwhile"}
	case g.Shutdown == host.Suspend:
		return notNow(g.Name, "is suspended")
	case g.Shutdown != "" && g.Phase == host.Running:
		return notNow(g.Name, "has just shut down (%s)", g.Shutdown)
	case g.Problem != "":
		return notNow(g.Name, "does not run: it is %s: %s", g.Phase, g.Problem)
	}
	return notNow(g.Name, "does not run: it is %s", g.Phase)
}

// StartGuest starts a guest that is known and does not run, from its directory as it is now. It returns when the guest
// runs; ErrWaits says that it will when a disk comes. Where ctx ends before, the guest is started all the same.
func (c *Controller) StartGuest(ctx context.Context, name string) error {
	now := c.State.Snapshot()
	g := now.ByName(name)
	switch {
	case g == nil:
		return noGuest(name)
	case now.Host.Ending != "":
		return errEnding(now)
	case g.Phase.Live() || g.Domid != 0 || g.Managed:
		return notNow(name, "is there already (%s)", g.Phase)
	case g.Source.Dir == "":
		return notNow(name, "was made by hand, or its files are gone: start it with xl create FILE.cfg")
	}
	loaded, err := g.Source.Load()
	if err != nil {
		return err
	}
	a := applicant{guest: loaded}
	if loaded.Name == g.Source.Name && name != loaded.Name {
		a.name = name // somebody has renamed it since
	}
	result := make(chan error, 1)
	select {
	case c.begin <- func(ctx context.Context) { c.start(ctx, a, result) }:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// start starts one guest and lives its life. result gets what became of it.
func (c *Controller) start(ctx context.Context, a applicant, result chan<- error) {
	lives, refused := c.admit(ctx, []applicant{a})
	switch {
	case len(refused) > 0:
		result <- refused[0]
	case len(lives) == 0:
		result <- ctx.Err()
	default:
		l := lives[0]
		l.delay = 0 // the owner's delay is for the boot
		turn := make(chan struct{})
		close(turn)
		l.run(ctx, turn, make(chan struct{}), result)
	}
}

// usualTimeout is for orders that have none.
const usualTimeout = time.Minute

// Stop asks a guest to shut down and waits until it has, a minute where timeout is not positive. It does not come back,
// whatever on_poweroff says. A guest that waits for a disk, or until it is made anew, stops at once. Is it late, that
// is an ErrTimeout, or with force it is destroyed.
func (c *Controller) Stop(ctx context.Context, name string, timeout time.Duration, force bool) error {
	return c.order(ctx, name, "stop", func(g *host.Guest) error {
		return c.bring(ctx, g, host.WantStop, timeout, force)
	})
}

// Restart asks a guest to reboot and waits until it has, whatever on_reboot says. Timeout and force are as for Stop.
func (c *Controller) Restart(ctx context.Context, name string, timeout time.Duration, force bool) error {
	return c.order(ctx, name, "restart", func(g *host.Guest) error {
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

// Pause takes a guest's processors away until Unpause.
func (c *Controller) Pause(ctx context.Context, name string) error {
	return c.halt(ctx, name, "pause", true, c.Xen.Pause)
}

// Unpause lets a paused guest go on, whoever has paused it.
func (c *Controller) Unpause(ctx context.Context, name string) error {
	return c.halt(ctx, name, "resume", false, c.Xen.Unpause)
}

// halt pauses a guest or lets it go on.
func (c *Controller) halt(
	ctx context.Context, name, what string, paused bool, do func(context.Context, int) error,
) error {
	return c.order(ctx, name, what, func(g *host.Guest) error {
		if err := c.look(ctx, 0); err != nil { // somebody may have done it by hand
			return err
		}
		g, err := c.running(ctx, g)
		switch {
		case err != nil:
			return err
		case g.Paused && paused:
			return notNow(name, "is paused already")
		case !g.Paused && !paused:
			return notNow(name, "is not paused")
		}
		if err := do(ctx, g.Domid); err != nil {
			return fmt.Errorf("guest %q: %w", name, err)
		}
		return c.look(ctx, 0)
	})
}
