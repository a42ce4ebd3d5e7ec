// Package control is the guest controller: the only one that orders xl to make and end domains. It admits guests
// by memory, makes their domains, does what on_poweroff, on_reboot and on_crash ask for when a domain has
// shut down, cleans up after every failure, and ends all guests with the machine. What it does it tells the
// host's state; what it needs to know of domains it reads there.
package control

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/guestdisk"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/memory"
	"github.com/zerodisc/zerodisc/internal/tick"
	"github.com/zerodisc/zerodisc/internal/xen"
)

// Config is what a Controller works with. All fields but Override, Rules and CheckMAC are to be set.
type Config struct {
	Xen    *xen.Toolstack
	State  *host.State
	Ledger *memory.Ledger
	Disks  *guestdisk.Manager
	// Machine says what guests are resolved for.
	Machine func() guests.Machine
	// Override says what the host's owner wants of the guest with that name; nil where there is nothing.
	Override func(name string) guests.Override
	// Rules puts in force what is to hold for a guest's network, before each of its domains is made, when it gets
	// another name, and by RefreshRules. own is the name that its configuration gives it, name the one that it has.
	// Nil where there is nothing.
	Rules func(own, name, uuid string) error
	// CheckMAC is an error where somebody who is no guest has a MAC address that a guest is to have: dom0, its gateway.
	// Nil where nobody can say.
	CheckMAC func(mac, uuid string) error
	// Dir is where the configurations that xl gets are written, NAME.cfg.
	Dir string
	Log *slog.Logger // for debugging
}

// Controller orders guests' lives. Its methods may be called from any goroutine.
type Controller struct {
	Config
	changed   chan struct{}              // one element: a domain may have shut down
	admitting chan struct{}              // one element: held while names and memory are given out
	ordering  chan struct{}              // one element: held while somebody takes a guest for an order
	looked    chan time.Time             // one element: when Xen was asked last; taken while it is being asked
	begin     chan func(context.Context) // what is to be done in Run's context
	lives     lives
}

// New returns a Controller. Run has to run for it to notice how domains end, and to start guests by order.
func New(config Config) *Controller {
	if config.Override == nil {
		config.Override = func(string) guests.Override { return guests.Override{} }
	}
	if config.Rules == nil {
		config.Rules = func(string, string, string) error { return nil }
	}
	c := &Controller{
		Config: config, changed: make(chan struct{}, 1), admitting: make(chan struct{}, 1),
		ordering: make(chan struct{}, 1), looked: make(chan time.Time, 1), begin: make(chan func(context.Context)),
	}
	c.looked <- time.Time{}
	return c
}

// lookPause is the longest time between two looks at Xen's list of domains. Xenstore says when a domain
// has shut down or gone, but not when somebody has paused one.
const lookPause = 10 * time.Second

// pausedPause is the same while a guest is paused. xl makes each guest so, and lets it run a moment later.
const pausedPause = time.Second

// Changed says that a domain may have shut down or gone.
func (c *Controller) Changed() {
	select {
	case c.changed <- struct{}{}:
	default: // there will be a look anyway
	}
}

// Run keeps the state in step with the hypervisor, follows guests that were made by hand, and lives the lives of guests
// that are started by order, until ctx ends.
func (c *Controller) Run(ctx context.Context) {
	go c.followOthers(ctx)
	go c.beginLives(ctx)
	for {
		_ = c.look(ctx, 0) // there is another one
		pause := lookPause
		if slices.ContainsFunc(c.State.Snapshot().Guests, func(g host.Guest) bool { return g.Paused }) {
			pause = pausedPause
		}
		select {
		case <-c.changed:
		case <-tick.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// beginLives does in its context what orders begin: it outlasts whoever gave the order.
func (c *Controller) beginLives(ctx context.Context) {
	for {
		select {
		case do := <-c.begin:
			go do(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// Look sees to it that what the state says of domains is no older than a second.
func (c *Controller) Look(ctx context.Context) error { return c.look(ctx, time.Second) }

// look tells the state Xen's own list of domains, unless that was done less than rest ago.
func (c *Controller) look(ctx context.Context, rest time.Duration) error {
	var last time.Time
	select {
	case last = <-c.looked:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { c.looked <- last }()
	if time.Since(last) < rest {
		return nil
	}
	asked := c.State.Snapshot().Number
	domains, err := c.Xen.Look(ctx)
	if err != nil {
		c.Log.Debug("list domains", "err", err)
		return err
	}
	c.State.Tell(host.Listed{Asked: asked, Domains: domains})
	last = time.Now()
	return nil
}

// Offer starts those of the guests that start by themselves, as autostart says unless the owner wants something else of
// a guest, and makes the others known. It returns how many were not refused.
func (c *Controller) Offer(ctx context.Context, found []*guests.Guest, autostart bool) (kept int) {
	var start, leave []*guests.Guest
	for _, g := range found {
		auto := autostart
		if wanted := c.Override(g.Name).Autostart; wanted != nil {
			auto = *wanted
		}
		if auto {
			start = append(start, g)
		} else {
			leave = append(leave, g)
		}
	}
	c.Found(leave)
	return len(leave) + c.Start(ctx, start)
}

// Found makes guests known that are not started.
func (c *Controller) Found(found []*guests.Guest) {
	for _, g := range found {
		c.State.Tell(host.Found{Name: g.Name, Origin: g.File, Source: g.Source()})
	}
}

// Start admits guests, makes the domains of those that fit, in their order, and returns how many were not refused once
// each runs or was refused. Guests that the owner gave a lower order come first. One that waits for a disk that is not
// there is left behind after diskPatience, and starts when the disk comes.
func (c *Controller) Start(ctx context.Context, found []*guests.Guest) (started int) {
	var all []applicant
	for _, g := range found {
		all = append(all, applicant{guest: g})
	}
	slices.SortStableFunc(all, func(a, b applicant) int {
		return cmp.Compare(c.Override(a.guest.Name).Order, c.Override(b.guest.Name).Order)
	})
	lives, _ := c.admit(ctx, all)
	results := make(chan error, len(lives))
	turn := make(chan struct{})
	close(turn)
	for i, l := range lives {
		l.leads = i+1 < len(lives) && l.comesBefore(lives[i+1])
		next := make(chan struct{})
		go l.run(ctx, turn, next, results)
		turn = next
	}
	for range lives {
		if err := <-results; err == nil || errors.Is(err, ErrWaits) {
			started++
		}
	}
	return started
}

// comesBefore says whether the next guest has to wait until this one's domain is made: guests that the owner gave no
// order among themselves are made side by side.
func (l *life) comesBefore(next *life) bool {
	return l.spec.Override.Order != next.spec.Override.Order || next.delay > 0
}

// Refuse tells of a guest that cannot be started at all.
func (c *Controller) Refuse(err *guests.Error) { c.refuse(err, guests.Source{}) }

// RefuseAt is Refuse for a guest whose directory stays where it is: once a person has mended it, it can be started by
// order. root and trusted are as guests.Guest has them.
func (c *Controller) RefuseAt(err *guests.Error, root string, trusted bool) {
	c.refuse(err, err.At(root, trusted))
}

func (c *Controller) refuse(err *guests.Error, from guests.Source) {
	c.State.Tell(host.GuestRefused{Name: err.Guest, Origin: err.File, Source: from, Err: err})
}

// End ends all guests with the machine: they have until the deadline, or until ctx ends, to shut down.
// The contexts of Run and Start have ended before: nothing is made or restarted any more.
func End(ctx context.Context, toolstack *xen.Toolstack, deadline time.Duration, tell func(host.Fact)) error {
	return toolstack.ShutdownAll(ctx, deadline, func(e xen.Ended) {
		tell(host.Ended{Domid: e.Domain.Domid, Name: e.Domain.Name, Forced: e.Forced, Err: e.Err})
	})
}
