// Package memory is the ledger of the host's memory. Whoever is going to use memory reserves it first, under
// a name, and gives it back at its final end: a guest keeps its reservation through its restarts, and a
// download until its files are removed. What is reserved and not yet taken still looks free to Xen and to
// dom0's kernel, so the ledger subtracts it from what they say.
//
// There are two pools: what Xen gives to domains, and dom0's own memory, which guests cost too (their
// backends, and xl while it creates one) and which files fill. dom0 hands memory of its own to Xen where guests
// would not fit otherwise, and takes of Xen's where files would not.
package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
)

// Source says how much memory there is, in KiB.
type Source struct {
	// XenFree is what Xen can give to new domains.
	XenFree func(context.Context) (int64, error)
	// Available is what dom0 can give to new processes or to Xen (MemAvailable in proc(5)).
	Available func() (int64, error)
	// GiveUp makes dom0 smaller by kib and returns by how much it got smaller. Take makes it larger, of what Xen has
	// free, and returns by how much.
	GiveUp func(ctx context.Context, kib int64) (int64, error)
	Take   func(ctx context.Context, kib int64) (int64, error)
	// Limits are the most that all guests together may have of Xen's memory, 0 for no limit, and what Xen is to have
	// left once they have theirs; nil: neither.
	Limits func() (guests, left int64)
}

// KeepKiB is what dom0 keeps free of its memory, whatever guests would like to have. It is less than CreateKiB: on a
// host that is full, the kernel that xl unpacks is partly in swap space, as is what idle programs have written.
const KeepKiB = 24 << 10

// Ledger keeps account of reservations. Its methods may be called from any goroutine.
type Ledger struct {
	source  Source
	changed func([]Entry)

	admitting chan struct{} // one element: held while a guest is admitted, which asks Xen

	mu       sync.Mutex // guards what follows
	accounts map[*account]struct{}
	creating int           // domains that are being made
	settled  chan struct{} // closed, and replaced, when something has settled or ended
}

// amount is how much of a pool an owner has, KiB or bytes.
type amount struct{ reserved, taken int64 }

// pending is what is reserved and still looks free.
func (a amount) pending() int64 { return max(0, a.reserved-a.taken) }

// account is one owner's memory, KiB.
type account struct {
	owner     string
	xen, dom0 amount
	moving    bool // its domain is being made or taken down: Xen's figure changes
}

// Entry is what an owner has reserved, KiB.
type Entry struct {
	Owner      string
	XenKiB     int64 // of what Xen gives to domains
	Dom0KiB    int64 // of dom0's own
	PendingKiB int64 // of both, what is not taken yet
}

// New returns an empty ledger. changed is called with all entries, sorted by owner, after every change of a
// reservation; it must not call the ledger.
func New(source Source, changed func([]Entry)) *Ledger {
	if source.Limits == nil {
		source.Limits = func() (int64, int64) { return 0, 0 }
	}
	return &Ledger{
		source: source, changed: changed,
		admitting: make(chan struct{}, 1), accounts: map[*account]struct{}{}, settled: make(chan struct{}),
	}
}

// NoRoom says that something does not fit.
type NoRoom struct {
	Pool             string // "Xen" or "dom0"
	NeedKiB, FreeKiB int64
	Limited          bool // by Source.Limits: there is more
}

// Error has figures that never look as if it fitted: needs round up and what is free rounds down.
func (e *NoRoom) Error() string {
	const mib = 1 << 10
	return fmt.Sprintf("it takes %d MiB of %s's memory, where %d MiB are free for it",
		(e.NeedKiB+mib-1)/mib, e.Pool, e.FreeKiB/mib)
}

// pending sums up what is reserved of dom0's and of Xen's memory and not taken. The caller holds l.mu.
func (l *Ledger) pending() (xen, dom0 int64) {
	for a := range l.accounts {
		xen += a.xen.pending()
		dom0 += a.dom0.pending()
	}
	return xen, dom0
}

// tell passes the entries on. The caller holds l.mu, so that the last call has the newest.
func (l *Ledger) tell() {
	if l.changed == nil {
		return
	}
	var entries []Entry
	for a := range l.accounts {
		entries = append(entries, Entry{
			Owner: a.owner, XenKiB: a.xen.reserved, Dom0KiB: a.dom0.reserved,
			PendingKiB: a.xen.pending() + a.dom0.pending(),
		})
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Owner, b.Owner) })
	l.changed(entries)
}

// AvailableKiB is what dom0 has free of its memory without what is reserved, never less than 0.
func (l *Ledger) AvailableKiB() (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.available()
}

// SpareKiB is what dom0 will be able to spare of its memory once the domains are made that are being made.
func (l *Ledger) SpareKiB() (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, pending := l.pending()
	available, err := l.source.Available()
	return max(0, available-pending+int64(l.creating)*CreateKiB-KeepKiB), err
}

// available is AvailableKiB for a caller that holds l.mu. What is pending is read before what is free: bytes
// that are written in between count twice then, which is safe, and never not at all.
func (l *Ledger) available() (int64, error) {
	_, pending := l.pending()
	available, err := l.source.Available()
	return max(0, available-pending), err
}

// open adds an account. The caller holds l.mu.
func (l *Ledger) open(owner string, xen, dom0 int64) *account {
	a := &account{owner: owner, xen: amount{reserved: xen}, dom0: amount{reserved: dom0}}
	l.accounts[a] = struct{}{}
	l.tell()
	return a
}

func (l *Ledger) close(a *account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.accounts, a)
	l.wake()
	l.tell()
}

// wake lets those that wait for memory look again. The caller holds l.mu.
func (l *Ledger) wake() {
	close(l.settled)
	l.settled = make(chan struct{})
}
