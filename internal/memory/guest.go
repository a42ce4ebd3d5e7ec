package memory

import (
	"context"
	"errors"
	"math"
)

// What a guest costs dom0, KiB. CreateKiB is for as long as xl creates it, most of it for the kernel, which
// xl decompresses: 60 MiB with Debian's, whose unpacked image has 50. RunKiB is for as long as its domain
// runs: its network and block backends, xenstored's and xenconsoled's share. Eighteen guests more, quiet ones, cost
// 0.8 MiB each; buffers of busy ones take the rest.
const (
	CreateKiB = 64 << 10
	RunKiB    = 2 << 10
)

// Want is what a guest needs of Xen's memory.
type Want struct {
	Owner   string
	NeedKiB int64
}

// Guest is the memory of one guest.
type Guest struct {
	ledger  *Ledger
	account *account
}

// Admission is the answer to a Want: memory, or why there is none. A *NoRoom has what there was.
type Admission struct {
	*Guest
	Err error
}

// Admit reserves memory for guests, in their order; one that does not fit, or that the limits leave nothing for
// ([Source.Limits]), leaves its place to those after it.
// Where Xen has too little, dom0 gives up what it can spare. An error means that nothing is known of Xen's
// memory.
func (l *Ledger) Admit(ctx context.Context, wants []Want) ([]Admission, error) {
	select {
	case l.admitting <- struct{}{}:
		defer func() { <-l.admitting }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	most, left := l.limits()
	total := left
	for _, want := range wants {
		total += want.NeedKiB
	}
	free, err := l.xenFree(ctx, total)
	if err != nil {
		return nil, err
	}
	free -= left
	spare, err := l.spare()
	if err != nil {
		return nil, err
	}
	if need := fitting(wants, most, free, spare); need > 0 && need > free {
		missing := need - free
		given, err := l.giveUp(ctx, missing)
		if err != nil && given == 0 {
			return nil, err
		}
		free, spare = free+given, 0 // what could not be had is not promised
	}
	return l.admit(wants, most, free, spare, left), nil
}

// limits are how much of Xen's memory guests may have that they have not reserved yet, and what is to be left.
func (l *Ledger) limits() (most, left int64) {
	guests, left := l.source.Limits()
	if guests == 0 {
		return math.MaxInt64, left
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for a := range l.accounts {
		guests -= a.xen.reserved
	}
	return max(0, guests), left
}

// fitting is how much the wants take, in their order, that fit in what Xen has free and dom0 can spare. A guest that
// takes of dom0's memory leaves dom0 its own cost too.
func fitting(wants []Want, most, free, spare int64) int64 {
	var need int64
	for _, want := range wants {
		if need+want.NeedKiB <= min(most, room(free, spare)) {
			need, spare = need+want.NeedKiB, spare-RunKiB
		}
	}
	return need
}

// room is what one more guest may take of what Xen has free and dom0 can spare.
func room(free, spare int64) int64 { return free + max(0, spare-RunKiB) }

// admit opens an account for each of the wants that fits in free, and in what guests may have. spare is what a refusal
// counts as free too; with left more would have fitted.
func (l *Ledger) admit(wants []Want, most, free, spare, left int64) []Admission {
	l.mu.Lock()
	defer l.mu.Unlock()
	answers := make([]Admission, len(wants))
	for i, want := range wants {
		if want.NeedKiB > min(most, free) {
			answers[i].Err = &NoRoom{
				Pool: "Xen", NeedKiB: want.NeedKiB, FreeKiB: max(0, min(most, room(free, spare))),
				Limited: want.NeedKiB <= room(free, spare)+left,
			}
			continue
		}
		most, free, spare = most-want.NeedKiB, free-want.NeedKiB, spare-RunKiB
		answers[i].Guest = &Guest{ledger: l, account: l.open(want.Owner, want.NeedKiB, RunKiB)}
	}
	return answers
}

// xenFree is what Xen can give to new domains, without what is reserved. While a domain is made or taken down
// Xen's figure already counts some of its memory and the ledger counts all of it. That is on the safe
// side; but nobody is refused for it: where less than need is left, xenFree waits until nothing moves.
func (l *Ledger) xenFree(ctx context.Context, need int64) (int64, error) {
	for {
		l.mu.Lock()
		pending, _ := l.pending()
		moving, settled := l.moving(), l.settled
		l.mu.Unlock()
		free, err := l.source.XenFree(ctx)
		if err != nil {
			return 0, err
		}
		if free -= pending; free >= need || !moving {
			return max(0, free), nil
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// moving says whether a domain is being made or taken down. The caller holds l.mu.
func (l *Ledger) moving() bool {
	for a := range l.accounts {
		if a.moving {
			return true
		}
	}
	return false
}

// spare is what dom0 can give up for guests.
func (l *Ledger) spare() (int64, error) {
	available, err := l.AvailableKiB()
	return max(0, available-KeepKiB), err
}

// giveUp makes dom0 smaller by missing KiB and returns by how much it got smaller.
func (l *Ledger) giveUp(ctx context.Context, missing int64) (int64, error) {
	l.mu.Lock()
	// Downloads must not take meanwhile what is on its way to Xen.
	leaving := l.open("guests to come", 0, missing)
	l.mu.Unlock()
	defer l.close(leaving)
	return l.source.GiveUp(ctx, missing)
}

// slackKiB is what dom0 keeps free while domains are made side by side: CreateKiB has what xl takes at its worst.
const slackKiB = 16 << 10

// errEnded says that a guest's memory was given back already.
var errEnded = errors.New("the guest's memory was given back")

// Create waits for dom0's memory that xl takes while it creates the guest's domain, and for a place: at most
// limit domains are made at a time. With dom0 short of memory it is one. The caller calls done when xl
// has ended, after Settle or Vacate.
func (g *Guest) Create(ctx context.Context, limit int) (done func(), err error) {
	l := g.ledger
	for {
		l.mu.Lock()
		if _, open := l.accounts[g.account]; !open {
			l.mu.Unlock()
			return nil, errEnded
		}
		available, _ := l.available() // what is not known is nothing
		settled := l.settled
		if l.creating == 0 || l.creating < limit && available >= CreateKiB+slackKiB {
			l.creating++
			g.account.moving = true
			work := l.open(g.account.owner+" (being created)", 0, CreateKiB)
			l.mu.Unlock()
			return func() { l.created(work) }, nil
		}
		l.mu.Unlock()
		select {
		case <-settled:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (l *Ledger) created(work *account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.creating--
	delete(l.accounts, work)
	l.wake()
	l.tell()
}

// Settle says that the guest's domain has its memory: Xen and dom0's kernel do not count it as free any more.
func (g *Guest) Settle() { g.set(true, false) }

// Leave says that the guest's domain is being taken down: what it has will look free, and stays reserved.
func (g *Guest) Leave() { g.set(false, true) }

// Vacate says that the guest has no domain, and keeps its reservation.
func (g *Guest) Vacate() { g.set(false, false) }

func (g *Guest) set(taken, moving bool) {
	l := g.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	a := g.account
	a.xen.taken, a.dom0.taken, a.moving = 0, 0, moving
	if taken {
		a.xen.taken, a.dom0.taken = a.xen.reserved, a.dom0.reserved
	}
	l.wake()
	l.tell()
}

// Release gives the guest's memory back. It may be called again.
func (g *Guest) Release() { g.ledger.close(g.account) }

// Adopt enters the memory of a guest whose domain exists already, made by others.
func (l *Ledger) Adopt(owner string, kib int64) *Guest {
	l.mu.Lock()
	a := l.open(owner, kib, RunKiB)
	l.mu.Unlock()
	g := &Guest{ledger: l, account: a}
	g.Settle()
	return g
}
