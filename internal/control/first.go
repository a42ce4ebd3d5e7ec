package control

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/xen"
)

// first makes the guest's disks and its first domain, when it is its turn. The next guest may begin when this one's
// domain is being made, or, where this one leads, when it is. Where a disk is late, only this guest waits for it; waits
// is called if that takes longer than others would want to. A domain in whose making the clock was set is tried again.
func (l *life) first(ctx context.Context, turn <-chan struct{}, next chan<- struct{}, waits func(error)) error {
	pass := sync.OnceFunc(func() { close(next) })
	defer func() {
		go func() { // the turn of one that has stopped waiting comes all the same
			<-turn
			pass()
		}()
	}()
	done, err := l.ready(ctx, turn, pass, waits)
	if err != nil {
		return err
	}
	defer done()
	err = l.create(ctx)
	if errors.Is(err, xen.ErrClockSet) && !l.unwanted() && l.destroyLeft(ctx) == nil {
		l.Log.Debug("guest", "guest", l.spec.Name, "err", err)
		err = l.create(ctx)
	}
	return err
}

// ready waits until the guest's domain can be made, or until somebody does not want it any more or has made it by hand,
// which ends the wait at once. done is to be called when it is made; the next guest may be made meanwhile.
func (l *life) ready(
	ctx context.Context, turn <-chan struct{}, pass func(), waits func(error),
) (done func(), err error) {
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go l.until(waiting, func(g *host.Guest) bool {
		if why := obstacle(g); why != nil {
			cancel(why)
		}
		return waiting.Err() != nil
	})
	done, err = l.gather(waiting, turn, pass, waits)
	why := obstacle(l.State.Snapshot().ByUUID(l.uuid)) // which the other goroutine may not have seen
	if why == nil {
		why = context.Cause(waiting)
	}
	if why != nil && err == nil {
		done()
	}
	if why != nil {
		return nil, why
	}
	return done, err
}

// obstacle is why a guest that waits for its first domain gets none.
func obstacle(g *host.Guest) error {
	switch {
	case g == nil:
		return nil
	case g.Domid != 0:
		return errMadeByHand
	case g.Wanted == host.WantStop || g.Wanted == host.WantDestroy:
		return errUnwanted
	}
	return nil
}

// gather waits for all that the guest's domain needs: its turn, its disks, and room.
func (l *life) gather(
	ctx context.Context, turn <-chan struct{}, pass func(), waits func(error),
) (done func(), err error) {
	select {
	case <-turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case <-time.After(l.delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if l.Disks.Lacks(l.spec) != nil {
		pass()
		if err := l.awaitDisks(ctx, waits); err != nil {
			return nil, err
		}
	}
	if l.disks, err = l.Disks.Prepare(ctx, l.spec); err != nil {
		return nil, err
	}
	done, err = l.memory.Create(ctx, creations())
	if !l.leads {
		pass()
	}
	return done, err
}

// diskPatience is for how long a guest that waits for a disk counts as one that is being started: a stick that was
// there at the boot takes seconds to be found. The boot is not to be delayed by more than 5 s.
const diskPatience = 4 * time.Second

// The time between two looks whether a disk has come, at first and later on.
const (
	diskPause     = 100 * time.Millisecond
	diskLongPause = time.Second
)

// What becomes of a guest that waited.
var (
	errMadeByHand = &refusal{ErrPhase, "somebody else has made the guest"}
	errUnwanted   = &refusal{ErrPhase, "the guest was stopped before it has run"}
)

// awaitDisks waits until all devices are there that the guest's configuration names, for as long as that takes. It
// calls waits when diskPatience is over.
func (l *life) awaitDisks(ctx context.Context, waits func(error)) error {
	pause, late := diskPause, time.After(diskPatience)
	for {
		lack := l.Disks.Lacks(l.spec)
		if lack == nil {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-late:
			pause = diskLongPause
			l.phase(host.Waiting, lack.Error())
			waits(&refusal{ErrWaits, fmt.Sprintf("%v; it starts when that is there", lack)})
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
