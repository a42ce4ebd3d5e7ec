package memory

import "context"

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
		err := f.Grow(n)
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

// Grow promises n bytes more. A *NoRoom means that they are not there.
func (f *Files) Grow(n int64) error {
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
func (f *Files) Ensure(n int64) error {
	if n <= f.left {
		return nil
	}
	return f.Grow(max(n-f.left, growStep))
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
