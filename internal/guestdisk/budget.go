package guestdisk

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/memory"
)

const mib = 1 << 20

// Without a parameter a guest gets usualBudget, or half of what dom0 has to spare where that is less, but at
// least leastBudget.
const (
	usualBudget = 256 * mib
	leastBudget = 16 * mib
)

// slackBytes is what a guest may write beyond its budget until its disks refuse: the budget is looked at every few
// milliseconds, and not at every write.
const slackBytes = 16 * mib

const budgetRemedy = "give it less with " + boot.KeyBudget + "=NAME:64M, end another guest, or write ro in place of rw"

// Budgets is how much of dom0's memory the changes to guests' disks may take, bytes.
type Budgets struct {
	all   int64 // of guests that are not named; 0: not given
	named map[string]int64
}

// NewBudgets returns budgets in bytes: of each guest that is not named, 0 for the usual, and of those that are.
func NewBudgets(all int64, named map[string]int64) Budgets { return Budgets{all, named} }

// of is a guest's budget where dom0 has that much to spare, bytes.
func (b Budgets) of(guest string, spare int64) int64 {
	if n := b.named[guest]; n > 0 {
		return n
	}
	if b.all > 0 {
		return b.all
	}
	return max(leastBudget, min(usualBudget, spare/2)/mib*mib)
}

// budget is the memory of one guest's changes.
type budget struct {
	bytes, limit int64 // limit is with the slack
	files        *memory.Files
	gates        []gate
	closed       bool // the disks refuse writes
	told         int64
}

// openBudget reserves the guest's budget and mounts the memory file system that holds it to that.
func (s *Set) openBudget(ctx context.Context, plans []plan) error {
	if !slices.ContainsFunc(plans, func(p plan) bool { return p.cow }) {
		return nil
	}
	m := s.manager
	spare, err := m.Ledger.SpareKiB()
	if err != nil {
		return err
	}
	s.budget.bytes = m.Budgets().of(s.spec.Guest.Name, spare<<10-slackBytes)
	s.budget.limit = s.budget.bytes + slackBytes
	s.budget.files = m.Ledger.Files(diskOwner(s.spec.Name))
	if err := s.budget.files.GrowInTime(ctx, s.budget.limit); err != nil {
		return fmt.Errorf("changes to its disks may take %d MiB, and %d MiB more are kept in reserve: %w",
			s.budget.bytes/mib, slackBytes/mib, err)
	}
	s.did(func() error { s.budget.files.Release(); return nil })
	if err := m.Kernel.MountMemory(s.dir, storeBytes(s.budget.limit)); err != nil {
		return err
	}
	s.did(func() error { return m.Kernel.Unmount(s.dir) })
	return nil
}

// diskOwner is the ledger's name for the changes to a guest's disks.
func diskOwner(guest string) string { return guest + " (changes to its disks)" }

// The time between two looks at what a guest's changes take. It is as long as the guest cannot fill what is left.
const (
	fastest  = 1 << 30 // bytes a second
	lookSoon = 5 * time.Millisecond
	lookLate = time.Second
)

// watch begins to watch the budget, if there is one.
func (s *Set) watch() {
	if len(s.budget.gates) == 0 {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop, s.watched = stop, make(chan struct{})
	go func() {
		defer close(s.watched)
		checked := time.Now()
		for {
			s.look()
			if time.Since(checked) >= lookLate && !s.budget.closed {
				s.revive()
				checked = time.Now()
			}
			select {
			case <-time.After(s.nextLook()):
			case <-ctx.Done():
				return
			}
		}
	}()
}

// nextLook is how soon the budget is to be looked at again. Disks that refuse writes fill no more memory; only what is
// detached gives some back.
func (s *Set) nextLook() time.Duration {
	if s.budget.closed {
		return lookLate
	}
	left := max(0, s.budget.bytes-s.budget.told)
	wait := time.Duration(float64(left) / fastest * float64(time.Second))
	return min(lookLate, max(lookSoon, wait))
}

// unwatch ends the watch, if there is one.
func (s *Set) unwatch() {
	if s.stop != nil {
		s.stop()
		<-s.watched
		s.stop = nil
	}
}

// look looks at what the changes take, and has the disks refuse writes, or take them again.
func (s *Set) look() {
	used, err := s.manager.Kernel.Used(s.dir)
	if err != nil {
		s.manager.Log.Debug("guest disks", "guest", s.spec.Name, "err", err)
		return
	}
	full := used >= s.budget.bytes
	turns := full != s.budget.closed
	if turns {
		s.turn(full)
		s.revive() // where it is full nothing can spoil it any more
	}
	if turns || !full && moved(s.budget.told, used) {
		s.budget.files.Wrote(min(used, s.budget.limit) - min(s.budget.told, s.budget.limit))
		s.tell(used)
	}
}

// moved says whether what is used has changed enough to be told.
func moved(before, now int64) bool { return now-before >= mib || before-now >= mib }

// turn makes the guest's disks refuse writes, or take them again. One that was lost stays shut.
func (s *Set) turn(closed bool) {
	for _, g := range s.budget.gates {
		if g.lost {
			continue
		}
		if err := s.manager.Kernel.Replace(g.name, g.table(closed)); err != nil {
			s.manager.Log.Error("guest disk", "guest", s.spec.Name, "disk", g.vdev, "err", err)
		}
	}
	s.budget.closed = closed
}

// tell makes known what the guest's disks are and what its changes take.
func (s *Set) tell(used int64) {
	s.budget.told = used
	fact := host.GuestDisks{UUID: s.spec.UUID, Changes: host.Changes{
		BudgetKiB: s.budget.bytes >> 10, UsedKiB: used >> 10, Full: s.budget.closed,
	}}
	for _, d := range s.spec.Disks {
		fact.Disks = append(fact.Disks, host.Disk{
			Vdev: d.Vdev, Target: d.Target, Format: d.Format, Writable: d.Writable, Device: s.devices[d.Vdev],
			Problem: s.damage[d.Vdev], Node: s.nodes[d.Vdev],
			CopyOnWrite: slices.ContainsFunc(s.budget.gates, func(g gate) bool { return g.vdev == d.Vdev }),
		})
	}
	s.manager.Tell(fact)
}
