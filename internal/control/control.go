// Package control is the guest controller: the only one that orders xl to make and end domains. It admits guests
// by memory, makes their domains, does what on_poweroff, on_reboot and on_crash ask for when a domain has
// shut down, cleans up after every failure, and ends all guests with the machine. What it does it tells the
// host's state; what it needs to know of domains it reads there.
package control

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"runtime"
	"time"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/guestdisk"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/memory"
	"github.com/zerodisc/zerodisc/internal/xen"
)

// Config is what a Controller works with. All fields are to be set.
type Config struct {
	Xen    *xen.Toolstack
	State  *host.State
	Ledger *memory.Ledger
	Disks  *guestdisk.Manager
	// Machine says what guests are resolved for.
	Machine func() guests.Machine
	// Dir is where the configurations that xl gets are written, NAME.cfg.
	Dir string
	Log *slog.Logger // for debugging
}

// Controller orders guests' lives. Its methods may be called from any goroutine.
type Controller struct {
	Config
	changed   chan struct{} // one element: a domain may have shut down
	admitting chan struct{} // one element: held while names and memory are given out
}

// New returns a Controller. Run has to run for it to notice how domains end.
func New(config Config) *Controller {
	return &Controller{Config: config, changed: make(chan struct{}, 1), admitting: make(chan struct{}, 1)}
}

// lookPause is the longest time between two looks at Xen's list of domains. Xenstore says when a domain
// has shut down or gone, but not when somebody has paused one.
const lookPause = 10 * time.Second

// Changed says that a domain may have shut down or gone.
func (c *Controller) Changed() {
	select {
	case c.changed <- struct{}{}:
	default: // there will be a look anyway
	}
}

// Run keeps the state in step with the hypervisor, and follows guests that were made by hand, until ctx ends.
func (c *Controller) Run(ctx context.Context) {
	go c.followOthers(ctx)
	for {
		c.look(ctx)
		select {
		case <-c.changed:
		case <-time.After(lookPause):
		case <-ctx.Done():
			return
		}
	}
}

// look tells the state Xen's own list of domains.
func (c *Controller) look(ctx context.Context) {
	asked := c.State.Snapshot().Number
	domains, err := c.Xen.List(ctx)
	if err != nil {
		c.Log.Debug("list domains", "err", err)
		return
	}
	c.State.Tell(host.Listed{Asked: asked, Domains: domains})
}

// Start admits guests, makes the domains of those that fit, in their order, and returns how many were not refused once
// each runs or was refused. One that waits for a disk that is not there is left behind after diskPatience, and starts
// when the disk comes.
func (c *Controller) Start(ctx context.Context, found []*guests.Guest) (started int) {
	results := make(chan bool)
	lives := c.admit(ctx, found)
	turn := make(chan struct{})
	close(turn)
	for _, l := range lives {
		next := make(chan struct{})
		go l.run(ctx, turn, next, results)
		turn = next
	}
	for range lives {
		if <-results {
			started++
		}
	}
	return started
}

// Refuse tells of a guest that cannot be started at all.
func (c *Controller) Refuse(err *guests.Error) {
	c.State.Tell(host.GuestRefused{Name: err.Guest, Origin: err.File, Err: err})
}

// End ends all guests with the machine: they have until the deadline, or until ctx ends, to shut down.
// The contexts of Run and Start have ended before: nothing is made or restarted any more.
func End(ctx context.Context, toolstack *xen.Toolstack, deadline time.Duration, tell func(host.Fact)) error {
	return toolstack.ShutdownAll(ctx, deadline, func(e xen.Ended) {
		tell(host.Ended{Domid: e.Domain.Domid, Name: e.Domain.Name, Forced: e.Forced, Err: e.Err})
	})
}

// admit resolves guests for this machine, reserves their memory, and refuses those that cannot be started.
func (c *Controller) admit(ctx context.Context, found []*guests.Guest) []*life {
	select {
	case c.admitting <- struct{}{}:
		defer func() { <-c.admitting }()
	case <-ctx.Done():
		return nil
	}
	resolved := c.resolve(found)
	wants := make([]memory.Want, len(resolved))
	for i, l := range resolved {
		wants[i] = memory.Want{Owner: l.spec.Name, NeedKiB: l.spec.NeedKiB()}
	}
	answers, err := c.Ledger.Admit(ctx, wants)
	if ctx.Err() != nil {
		return nil
	}
	var admitted []*life
	for i, l := range resolved {
		if err == nil && answers[i].Err == nil {
			l.memory = answers[i].Guest
			c.State.Tell(host.Planned{Spec: l.spec})
			admitted = append(admitted, l)
			continue
		}
		why := err
		if why == nil {
			why = tooBig(l.spec, answers[i].Err)
		}
		c.State.Tell(host.GuestRefused{Name: l.spec.Name, Origin: l.spec.File, Err: why})
	}
	return admitted
}

// tooBig explains in the guest's own terms why there is no memory for it.
func tooBig(spec *guests.Resolved, err error) error {
	var full *memory.NoRoom
	if errors.As(err, &full) {
		return spec.TooBig(full.FreeKiB)
	}
	return err
}

// resolve completes guests for this machine and refuses those that it cannot run.
func (c *Controller) resolve(found []*guests.Guest) []*life {
	machine := c.Machine()
	var lives []*life
	for _, g := range found {
		spec, err := g.Resolve(machine)
		if err == nil {
			err = c.taken(spec, lives)
		}
		var p policy
		if err == nil {
			p, err = readPolicy(spec)
		}
		if err != nil {
			c.State.Tell(host.GuestRefused{Name: g.Name, Origin: g.File, Err: err})
			continue
		}
		lives = append(lives, &life{
			Controller: c, spec: spec, policy: p, file: filepath.Join(c.Dir, spec.Name+".cfg"),
		})
	}
	return lives
}

// taken is an error where another guest has the guest's name or UUID: one that is there, or one of those that
// come with it.
func (c *Controller) taken(spec *guests.Resolved, others []*life) error {
	now := c.State.Snapshot()
	fault := &guests.Error{Guest: spec.Name, File: spec.File}
	switch {
	case now.Live(spec.Name) != nil:
		fault.Problem = "a guest with the name " + quote(spec.Name) + " runs already"
		if now.Live(spec.Name).Phase == host.Waiting {
			fault.Problem = "a guest with the name " + quote(spec.Name) + " waits to be started already"
		}
		fault.Remedy = "give one of them another name"
		return fault
	case startedAs(now, spec.Name) != nil:
		fault.Problem = "the guest " + quote(startedAs(now, spec.Name).Name) +
			" was started as " + quote(spec.Name) + " and runs"
		fault.Remedy = "give this one another name"
		return fault
	case hasUUID(now, spec.UUID):
		fault.Problem = "a guest with the UUID " + spec.UUID + " runs already"
		fault.Remedy = "give one of them another UUID, or remove the line: each guest gets one of its own"
		return fault
	}
	for _, other := range others {
		if other.spec.UUID == spec.UUID {
			fault.Problem = "the guest " + quote(other.spec.Name) + " has the same UUID " + spec.UUID
			fault.Remedy = "give one of them another UUID, or remove the line: each guest gets one of its own"
			return fault
		}
	}
	return nil
}

func quote(name string) string { return `"` + name + `"` }

// startedAs returns the guest that the controller started under that name and that has another one since, nil where
// there is none: its configuration and its memory are booked under its first name.
func startedAs(now *host.Snapshot, name string) *host.Guest {
	for i := range now.Guests {
		if g := &now.Guests[i]; g.Managed && g.Phase.Live() && g.Spec.Name == name {
			return g
		}
	}
	return nil
}

// hasUUID says whether a guest that is there, or that a life has not let go of, has that UUID.
func hasUUID(now *host.Snapshot, uuid string) bool {
	g := now.ByUUID(uuid)
	return g != nil && (g.Phase.Live() || g.Domid != 0 || g.Managed)
}

// creations is how many domains are made at a time, as far as dom0's memory allows.
func creations() int { return runtime.NumCPU() }
