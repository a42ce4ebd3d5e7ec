package memory

import (
	"context"
	"errors"
	"fmt"
)

// Files is dom0's memory for files that are being written. One goroutine uses it. Amounts are bytes.
type Files struct {
	ledger  *Ledger
	account *account // KiB; nil until something is promised
	owner   string
	left    int64 // promised and not yet written
	written int64
}

// Files returns an empty reservation for files.
func (l *Ledger) Files(owner string) *Files { return &Files{ledger: l, owner: owner} }

// growStep is by how much a reservation grows for a file of unknown length, bytes.
const growStep = 1 << 20

// GrowInTime is Grow for what is not to be refused for memory that domains take only while they are being made: it
// waits for those.
func (f *Files) GrowInTime(ctx context.Context, n int64) error {
	for {
		f.ledger.mu.Lock()
		making, settled := f.ledger.creating > 0, f.ledger.settled
		f.ledger.mu.Unlock()
		err := f.Grow(ctx, n)
		if err == nil || !making {
			return err
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// growTries is how often dom0 is made larger for one promise: others may use what it got before it is promised.
const growTries = 5

// Grow promises n bytes more. A *NoRoom means that they are not there: dom0 cannot spare them, nor can Xen.
func (f *Files) Grow(ctx context.Context, n int64) error {
	err := f.grow(n)
	for range growTries {
		var short *NoRoom
		if !errors.As(err, &short) {
			return err
		}
		spare, took := f.ledger.take(ctx, short.NeedKiB-short.FreeKiB)
		if took != nil {
			return fmt.Errorf("%w; dom0 gets no more: %w", short, took)
		}
		if err = f.grow(n); errors.As(err, &short) {
			if short.FreeKiB += spare; short.NeedKiB > short.FreeKiB {
				return err
			}
			short.FreeKiB -= spare
		}
	}
	return err
}

// What dom0 takes of Xen's memory at a time where there is that much, what it leaves for domains that are made by
// hand, and the part of it that is gone at once, for the kernel's own account of it (64 bytes a page).
const (
	takeStepKiB = 32 << 10
	leaveXenKiB = 16 << 10
	memoryMap   = 64
)

// RoomKiB is what files may take: of what dom0 has, and of what Xen has free.
func (l *Ledger) RoomKiB(ctx context.Context) (int64, error) {
	spare, err := l.SpareKiB()
	if err != nil {
		return 0, err
	}
	free, err := l.xenFree(ctx, 0)
	free = max(0, free-leaveXenKiB)
	return spare + free - free/memoryMap, err
}

// take makes dom0 larger by kib and what that takes, if Xen has it, and returns what Xen has left that it could take.
func (l *Ledger) take(ctx context.Context, kib int64) (spare int64, err error) {
	select {
	case l.admitting <- struct{}{}: // guests are not promised meanwhile what dom0 takes
		defer func() { <-l.admitting }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	free, err := l.xenFree(ctx, 0)
	if err != nil {
		return 0, err
	}
	free = max(0, free-leaveXenKiB)
	kib += kib/memoryMap + 2<<10
	if kib <= free {
		got, err := l.source.Take(ctx, min(free, max(kib, takeStepKiB)))
		return max(0, free-got), err
	}
	return free - free/memoryMap, nil
}

// grow is Grow with what dom0 has.
func (f *Files) grow(n int64) error {
	l := f.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	available, err := l.available()
	if err != nil {
		return err
	}
	if free := max(0, available-KeepKiB); kib(n) > free {
		return &NoRoom{Pool: "dom0", NeedKiB: kib(n), FreeKiB: free}
	}
	if f.account == nil {
		f.account = l.open(f.owner, 0, 0)
	}
	f.left += n
	f.update()
	l.tell()
	return nil
}

// Adopt enters files that exist already, made by others: written bytes of them, and all that they may become.
func (f *Files) Adopt(written, all int64) {
	f.ledger.mu.Lock()
	defer f.ledger.mu.Unlock()
	f.account = f.ledger.open(f.owner, 0, 0)
	f.written, f.left = written, max(0, all-written)
	f.update()
	f.ledger.tell()
}

// Ensure sees to it that n bytes can be written.
func (f *Files) Ensure(ctx context.Context, n int64) error {
	if n <= f.left {
		return nil
	}
	return f.Grow(ctx, max(n-f.left, growStep))
}

// Wrote says that n bytes were written, or with a negative n that so many were removed again.
func (f *Files) Wrote(n int64) {
	f.ledger.mu.Lock()
	defer f.ledger.mu.Unlock()
	f.left -= n
	f.written += n
	f.update()
}

// Settle gives back what was promised and not written. What was written stays the owner's.
func (f *Files) Settle() {
	f.ledger.mu.Lock()
	defer f.ledger.mu.Unlock()
	f.left = 0
	f.update()
	f.ledger.tell()
}

// Release gives everything back: the files are gone. It may be called again.
func (f *Files) Release() {
	if f.account != nil {
		f.ledger.close(f.account)
	}
}

// update writes the account. The caller holds the ledger's mutex.
func (f *Files) update() {
	if f.account != nil {
		f.account.dom0 = amount{reserved: kib(f.left) + kib(f.written), taken: kib(f.written)}
	}
}

// kib is n bytes in whole KiB, rounded up.
func kib(n int64) int64 { return (n + 1023) >> 10 }
