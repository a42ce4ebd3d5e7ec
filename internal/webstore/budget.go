package webstore

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Budget gives out dom0's memory to files. What was promised to a file and is not yet written still
// looks free to the kernel, so the budget keeps account of it.
type Budget struct {
	// lock is held while memory is promised. Who gives it out for something else, to guests say,
	// holds it too.
	lock    sync.Locker
	spare   func() (int64, error)
	pending atomic.Int64 // bytes
}

// NewBudget returns a Budget of what spare says can be spared, bytes, at the moment that it is called.
func NewBudget(lock sync.Locker, spare func() (int64, error)) *Budget {
	return &Budget{lock: lock, spare: spare}
}

// Pending is how many bytes are promised and not yet written. Who subtracts it from what the kernel
// says is free asks for it first: bytes that are written in between count twice then, never not at all.
func (b *Budget) Pending() int64 { return b.pending.Load() }

// noRoom says that something does not fit.
type noRoom struct {
	need, free int64 // bytes
}

// Error has figures that never look as if it fitted: needs round up and what is free rounds down.
func (e *noRoom) Error() string {
	const mib = 1 << 20
	return fmt.Sprintf("it takes %d MiB of dom0's memory, where %d MiB are free for it", (e.need+mib-1)/mib, e.free/mib)
}

// reservation is memory promised to the files of one guest.
type reservation struct {
	budget *Budget
	left   int64 // bytes that are not yet written
}

// grow promises n bytes more. A *noRoom means that they are not there.
func (r *reservation) grow(n int64) error {
	r.budget.lock.Lock()
	defer r.budget.lock.Unlock()
	pending := r.budget.Pending()
	spare, err := r.budget.spare()
	if err != nil {
		return err
	}
	if free := max(0, spare-pending); n > free {
		return &noRoom{need: n, free: free}
	}
	r.add(n)
	return nil
}

// growStep is by how much a reservation grows for a file of unknown length, bytes.
const growStep = 1 << 20

// ensure sees to it that n bytes can be written.
func (r *reservation) ensure(n int64) error {
	if n <= r.left {
		return nil
	}
	return r.grow(max(n-r.left, growStep))
}

// add changes what is promised: less after n bytes were written, more after they were removed again.
func (r *reservation) add(n int64) {
	r.left += n
	r.budget.pending.Add(n)
}

// close gives back what was not used.
func (r *reservation) close() { r.add(-r.left) }
