package control

import (
	"context"
	"errors"
	"fmt"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/host"
)

// Kinds of errors of orders, for errors.Is. Their texts say what to do.
var (
	ErrNoGuest  = errors.New("there is no such guest")
	ErrNoDevice = errors.New("the guest has no such device")
	ErrPhase    = errors.New("the guest cannot do that now")
	ErrTimeout  = errors.New("the guest has not ended in time")
	ErrWaits    = errors.New("the guest waits for a disk, and starts when it comes")
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
	case g.Order != "" && (what != destroyOrder || g.Order != stopOrder && g.Order != restartOrder):
		return nil, notNow(name, "has an order already (%s); wait until that is done", g.Order)
	}
	c.State.Tell(host.Ordered{UUID: g.UUID, Domid: g.Domid, Order: what})
	return g, nil
}

// The orders that end a guest.
const (
	stopOrder    = "stop"
	restartOrder = "restart"
	destroyOrder = "destroy"
)

// errEnded refuses an order to a guest that has just come to its end.
var errEnded = &refusal{ErrPhase, "the guest has ended meanwhile"}

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
		return errEnded
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
	a := again(loaded, g)
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

// again has a guest start that was read anew. It keeps the name that somebody has given it since.
func again(loaded *guests.Guest, g *host.Guest) applicant {
	a := applicant{guest: loaded}
	if loaded.Name == g.Source.Name && g.Name != loaded.Name {
		a.name = g.Name
	}
	return a
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
