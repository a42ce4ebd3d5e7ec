package control

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"time"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/guestdisk"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/memory"
)

// life is one guest from its admission to its final end. One goroutine runs it.
type life struct {
	*Controller
	uuid   string
	spec   *guests.Resolved // what the guest is made of next; an order may change it
	source guests.Source
	policy policy
	memory *memory.Guest
	disks  *guestdisk.Set // nil before they are made
	file   string         // the configuration as xl gets it
	delay  time.Duration  // before its first domain is made
	leads  bool           // the next guest waits until its first domain is made
	quick  int            // how many lives in a row were short
	orders chan order     // taken while its domain runs
	over   chan struct{}  // closed at its final end
}

func (c *Controller) newLife(spec *guests.Resolved, p policy, source guests.Source) *life {
	return &life{
		Controller: c, uuid: spec.UUID, spec: spec, source: source, policy: p,
		file:  filepath.Join(c.Dir, spec.Name+".cfg"),
		delay: spec.Override.Delay, orders: make(chan order), over: make(chan struct{}),
	}
}

// A life of less than shortLife makes the next one wait: one second, and twice as long each time, up to
// longestPause.
const (
	shortLife    = 30 * time.Second
	longestPause = time.Minute
)

// run lives the guest's life until ctx ends or the guest has ended for good. Its first domain is made after turn is
// closed; it closes next when the next guest may begin, so that guests are made in their order. result gets once why
// the first domain was not made; ErrWaits is for one that will be once the guest's disks are there.
func (l *life) run(ctx context.Context, turn <-chan struct{}, next chan<- struct{}, result chan<- error) {
	answered := false
	answer := func(err error) {
		if !answered {
			answered = true
			result <- err
		}
	}
	err := l.first(ctx, turn, next, answer)
	switch {
	case err == nil:
		answer(nil)
		l.goOn(ctx)
	case errors.Is(err, errMadeByHand):
		l.release()
	case errors.Is(err, errUnwanted):
		l.release()
		l.phase(host.Stopped, "")
	default:
		l.giveUp(ctx, err)
	}
	l.finish()
	answer(err)
}

// finish lets go of the guest.
func (l *life) finish() {
	l.lives.remove(l) // before another life of the guest can begin
	l.State.Tell(host.Unmanaged{UUID: l.uuid})
	close(l.over)
}

// goOn lives the guest's life from a domain that runs.
func (l *life) goOn(ctx context.Context) {
	for {
		began := time.Now()
		reason, domid := l.awaitEnd(ctx)
		rest := l.restAfter(time.Since(began), reason)
		if ctx.Err() != nil || !l.ended(ctx, reason, domid, rest) ||
			!l.pause(ctx, rest, host.WantStop, host.WantDestroy, host.WantRestart) {
			return
		}
		if !l.createAgain(ctx) {
			return
		}
	}
}

// until waits until the guest is as so says, and returns false when ctx has ended before. so gets nil when the
// guest is not known any more.
func (l *life) until(ctx context.Context, so func(g *host.Guest) bool) bool {
	watch, cancel := context.WithCancel(ctx)
	defer cancel()
	updates := l.State.Subscribe(watch)
	for {
		select {
		case update := <-updates:
			if so(update.ByUUID(l.uuid)) {
				return true
			}
		case <-ctx.Done():
			return false
		}
	}
}

// awaitEnd returns why the guest's domain has shut down, and its number; no reason means that the domain is
// gone. To be suspended is no end: whoever asks for that destroys the domain or goes on with it. Meanwhile it takes
// orders.
func (l *life) awaitEnd(ctx context.Context) (reason host.Reason, domid int) {
	watch, cancel := context.WithCancel(ctx)
	defer cancel()
	updates := l.State.Subscribe(watch)
	for {
		select {
		case update := <-updates:
			g := update.ByUUID(l.uuid)
			if gone(g) {
				return "", 0
			}
			if g.Shutdown != "" && g.Shutdown != host.Suspend {
				return g.Shutdown, g.Domid
			}
		case o := <-l.orders:
			o.done <- l.obey(ctx, o.do)
		case <-ctx.Done():
			return "", 0
		}
	}
}

// gone says that a guest has no domain.
func gone(g *host.Guest) bool { return g == nil || g.Domid == 0 }

// ended does what was ordered, or what the policy asks for, and says whether the guest is to be made anew, which is
// after a rest.
func (l *life) ended(ctx context.Context, reason host.Reason, domid int, rest time.Duration) (again bool) {
	todo := l.todo(reason)
	if todo == preserve {
		l.preserve(ctx, reason)
		todo, domid = l.todo(""), 0
	}
	switch {
	case todo == restart:
		l.memory.Leave()
		l.phase(host.Restarting, later(because(reason), rest))
	case domid != 0:
		l.memory.Leave()
		l.phase(host.Stopping, because(reason))
	}
	l.takeDown(ctx, domid)
	if ctx.Err() != nil {
		return false
	}
	if todo == restart {
		l.memory.Vacate()
		return true
	}
	l.release()
	l.phase(host.Stopped, "")
	return false
}

// todo is what is to be done with a domain that has ended; nothing with one that was destroyed by hand. A guest that
// was asked for something, did not do it in time, and ends otherwise later does as it is configured.
func (l *life) todo(reason host.Reason) action {
	g := l.State.Snapshot().ByUUID(l.uuid)
	switch {
	case g == nil || g.Wanted == "":
	case g.Wanted == host.WantStop && (g.Order != "" || reason == host.PowerOff), g.Wanted == host.WantDestroy:
		return destroy
	case g.Wanted == host.WantRestart && (g.Order != "" || reason == host.Reboot):
		return restart
	}
	return l.policy[reason]
}

func (l *life) phase(phase host.Phase, problem string) {
	l.State.Tell(host.GuestPhase{UUID: l.uuid, Phase: phase, Problem: problem})
}

// because is what a person reads of a reason.
func because(reason host.Reason) string {
	switch reason {
	case host.Crash:
		return "it crashed"
	case host.Watchdog:
		return "its watchdog ended it"
	}
	return ""
}

// later adds to what a person reads of a restart when it is, unless that is at once.
func later(why string, rest time.Duration) string {
	if rest == 0 {
		return why
	}
	return cmp.Or(why, "it ended again soon after it was made") + "; it is made anew in " + rest.String()
}

// preserve keeps a domain that has shut down, until somebody destroys it.
func (l *life) preserve(ctx context.Context, reason host.Reason) {
	phase := host.Stopping
	if reason == host.Crash || reason == host.Watchdog {
		phase = host.Crashed
	}
	l.phase(phase, "its domain is kept; xl destroy removes it")
	l.until(ctx, gone)
}

// takeDown destroys a domain that has shut down, until it is gone.
func (l *life) takeDown(ctx context.Context, domid int) {
	for domid != 0 && ctx.Err() == nil {
		err := l.Xen.Destroy(ctx, domid)
		if err == nil {
			return
		}
		l.Log.Debug("take down", "guest", l.spec.Name, "err", err)
		l.memory.Settle() // it has its memory still: who asks for some need not wait
		select {
		case <-time.After(cleanRetry):
		case <-ctx.Done():
		}
		if g := l.State.Snapshot().ByUUID(l.uuid); g == nil || g.Domid != domid {
			return
		}
		l.memory.Leave()
	}
}

// restAfter is how long a guest that ends again and again waits for its next life. One that has lived long enough is
// made anew at once, unless it has crashed; so is one whose restart was ordered.
func (l *life) restAfter(lived time.Duration, reason host.Reason) time.Duration {
	if lived >= shortLife {
		l.quick = 0
	} else {
		l.quick++
	}
	if l.quick <= 1 && reason != host.Crash || l.wanted() == host.WantRestart {
		return 0
	}
	return min(longestPause, time.Second<<min(l.quick, 10))
}

// pause waits so long, or until somebody wants one of these, before the guest's domain is made. It says whether that is
// still to be done: somebody may make the guest by hand meanwhile, and has it then.
func (l *life) pause(ctx context.Context, limit time.Duration, wants ...host.Want) bool {
	pausing, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	byHand := false
	l.until(pausing, func(g *host.Guest) bool {
		byHand = g != nil && g.Phase == host.Running
		return byHand || g != nil && slices.Contains(wants, g.Wanted)
	})
	switch {
	case ctx.Err() != nil:
		return false
	case byHand:
		l.release()
		return false
	case l.unwanted():
		l.release()
		l.phase(host.Stopped, "")
		return false
	}
	return true
}
