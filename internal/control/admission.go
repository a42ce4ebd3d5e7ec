package control

import (
	"cmp"
	"context"
	"errors"
	"runtime"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/memory"
)

// applicant is a guest that is to be started.
type applicant struct {
	guest *guests.Guest
	name  string // that it is to have, "" for its own
}

// admit resolves guests for this machine, reserves their memory, and refuses those that cannot be started.
func (c *Controller) admit(ctx context.Context, all []applicant) (admitted []*life, refused []error) {
	select {
	case c.admitting <- struct{}{}:
		defer func() { <-c.admitting }()
	case <-ctx.Done():
		return nil, nil
	}
	resolved, refused := c.resolve(all)
	wants := make([]memory.Want, len(resolved))
	for i, l := range resolved {
		wants[i] = memory.Want{Owner: l.spec.Name, NeedKiB: l.spec.NeedKiB()}
	}
	answers, err := c.Ledger.Admit(ctx, wants)
	if ctx.Err() != nil {
		return nil, nil
	}
	for i, l := range resolved {
		if err == nil && answers[i].Err == nil {
			l.memory = answers[i].Guest
			c.lives.add(l)
			c.State.Tell(host.Planned{Spec: l.spec, Source: l.source})
			admitted = append(admitted, l)
			continue
		}
		why := err
		if why == nil {
			why = tooBig(l.spec, answers[i].Err)
		}
		c.State.Tell(host.GuestRefused{Name: l.spec.Name, Origin: l.spec.File, Source: l.source, Err: why})
		refused = append(refused, why)
	}
	return admitted, refused
}

// tooBig explains in the guest's own terms why there is no memory for it.
func tooBig(spec *guests.Resolved, err error) error {
	var full *memory.NoRoom
	if !errors.As(err, &full) {
		return err
	}
	fault := spec.TooBig(full.FreeKiB)
	if full.Limited {
		fault.Remedy = "raise memory.guests or lower memory.free in the host's configuration, or give it less"
	}
	return fault
}

// resolve completes guests for this machine and refuses those that it cannot run.
func (c *Controller) resolve(all []applicant) (lives []*life, refused []error) {
	machine := c.Machine()
	for _, a := range all {
		g := *a.guest
		g.Override = c.Override(g.Name)
		l, err := c.prepare(&g, machine, a.name)
		if err == nil {
			err = c.taken(l.spec, lives)
		}
		if err != nil {
			name := cmp.Or(a.name, g.Name)
			c.State.Tell(host.GuestRefused{Name: name, Origin: g.File, Source: g.Source(), Err: err})
			refused = append(refused, err)
			continue
		}
		lives = append(lives, l)
	}
	return lives, refused
}

// prepare makes the life of a guest, under another name than its own where one is given. With either it has the UUID
// and the MAC addresses that its own name gives it.
func (c *Controller) prepare(g *guests.Guest, machine guests.Machine, name string) (*life, error) {
	spec, err := g.Resolve(machine)
	if err != nil {
		return nil, err
	}
	if name != "" {
		spec = spec.Renamed(name)
	}
	p, err := readPolicy(spec)
	if err != nil {
		return nil, err
	}
	return c.newLife(spec, p, g.Source()), nil
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
	return c.takenMAC(spec, now, others)
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
