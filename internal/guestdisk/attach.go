package guestdisk

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/devmapper"
	"github.com/zerodisc/zerodisc/internal/ublk"
)

var errFull = errors.New("changes to its disks have used up their memory")

// Attach makes what one more disk needs, as Prepare does. spec is the guest with that disk. The error is a
// *guests.Error, and then nothing has changed.
func (s *Set) Attach(ctx context.Context, spec *guests.Resolved, vdev string) error {
	m := s.manager
	plans, err := m.plan(spec)
	if err != nil {
		return err
	}
	plans = slices.DeleteFunc(plans, func(p plan) bool { return p.Vdev != vdev })
	s.unwatch()
	defer s.watch()
	before := s.spec
	s.spec = spec
	s.noteNodes()
	if err := s.attachPlanned(ctx, plans); err != nil {
		s.forget(vdev)
		s.spec = before
		return err
	}
	s.tell(s.budget.told)
	return nil
}

func (s *Set) attachPlanned(ctx context.Context, plans []plan) error {
	for _, p := range plans { // it is one at most
		if p.cow && s.budget.closed {
			s.look() // a disk may just have been detached
		}
		if p.cow && s.budget.closed {
			return s.spec.Problem(guests.Pos{}, "detach another disk that it writes to, attach this one for reading "+
				"only, or stop the guest and start it: what it has written is lost then", errFull)
		}
		if err := s.manager.Load(ctx, devmapper.Module, ublk.Module); err != nil {
			return s.spec.Problem(guests.Pos{}, "see dmesg", err)
		}
		if s.budget.files == nil {
			if err := s.openBudget(ctx, plans); err != nil {
				return s.spec.Problem(guests.Pos{}, budgetRemedy, err)
			}
		}
		if err := s.add(ctx, p); err != nil {
			err = fmt.Errorf("disk %s: %w", p.Vdev, err)
			return s.spec.Problem(guests.Pos{}, "check the image, the medium it is on, and "+boot.KeyWrite, err)
		}
	}
	return nil
}

// Detach takes a disk's devices away, once the guest has let go of it. spec is the guest without that disk. What the
// guest has written to it is lost; the memory that it took is free for changes to the other disks, which take writes
// again if they were full. With the last disk that has any, their memory is given back.
func (s *Set) Detach(spec *guests.Resolved, vdev string) {
	s.unwatch()
	s.spec = spec
	s.forget(vdev)
	s.tell(s.budget.told)
	s.watch()
}

// forget takes back what was made for a disk, and the budget if no other disk needs it.
func (s *Set) forget(vdev string) {
	err := s.takeBack(func(u undo) bool { return u.vdev == vdev })
	s.budget.gates = slices.DeleteFunc(s.budget.gates, func(g gate) bool { return g.vdev == vdev })
	if len(s.budget.gates) == 0 {
		err = errors.Join(err, s.takeBack(func(u undo) bool { return u.vdev == "" }))
		s.budget = budget{}
	}
	if err != nil {
		s.manager.Log.Debug("guest disk", "guest", s.spec.Name, "disk", vdev, "err", err)
	}
	delete(s.devices, vdev)
	delete(s.damage, vdev)
	delete(s.nodes, vdev)
}

// Rename tells of the guest's other name.
func (s *Set) Rename(spec *guests.Resolved) {
	s.unwatch()
	s.spec = spec
	if s.budget.files != nil {
		s.budget.files.Rename(diskOwner(spec.Name))
	}
	s.watch()
}
