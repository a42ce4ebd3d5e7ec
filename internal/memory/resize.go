package memory

import "context"

// Resize changes what is reserved for the guest of Xen's memory. A *NoRoom says that there is not as much. What is
// added counts as not taken until Settle; what is given up is free for others at once, so that the guest must not have
// it any more.
func (g *Guest) Resize(ctx context.Context, kib int64) error {
	l, a := g.ledger, g.account
	l.mu.Lock()
	have, owner := a.xen.reserved, a.owner
	l.mu.Unlock()
	if kib > have {
		answers, err := l.Admit(ctx, []Want{{Owner: owner + " (grows)", NeedKiB: kib - have}})
		if err != nil {
			return err
		}
		if answers[0].Err != nil {
			return answers[0].Err
		}
		defer answers[0].Release() // once it is the guest's own
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	a.xen.reserved, a.xen.taken = kib, min(a.xen.taken, kib)
	l.wake()
	l.tell()
	return nil
}

// Rename gives the guest's memory another owner.
func (g *Guest) Rename(owner string) { g.ledger.rename(g.account, owner) }

// Rename gives the files another owner.
func (f *Files) Rename(owner string) {
	f.owner = owner
	if f.account != nil {
		f.ledger.rename(f.account, owner)
	}
}

func (l *Ledger) rename(a *account, owner string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.owner = owner
	l.tell()
}
