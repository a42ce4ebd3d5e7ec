package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/guestdisk"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/memory"
)

// life is one guest from its admission to its final end. One goroutine runs it.
type life struct {
	*Controller
	spec   *guests.Resolved
	policy policy
	memory *memory.Guest
	disks  *guestdisk.Set // nil before they are made
	file   string         // the configuration as xl gets it
	quick  int            // how many lives in a row were short
}

// How long xl may take to create a domain: much is read from the medium, a CD for instance.
const (
	createTimeout = 2 * time.Minute
	slowMedium    = 512 << 10 // bytes a second
)

// A life of less than shortLife makes the next one wait: one second, and twice as long each time, up to
// longestPause.
const (
	shortLife    = 30 * time.Second
	longestPause = time.Minute
)

// run lives the guest's life until ctx ends or the guest has ended for good. It begins when turn is closed, and
// closes next when the next guest may begin, so that guests are made in their order. result gets whether
// the first domain was made, or will be once the guest's disks are there.
func (l *life) run(ctx context.Context, turn <-chan struct{}, next chan<- struct{}, result chan<- bool) {
	<-turn
	answered := false
	answer := func(lives bool) {
		if !answered {
			answered = true
			result <- lives
		}
	}
	err := l.begin(ctx, next, func() { answer(true) })
	switch {
	case err == nil:
		answer(true)
		l.goOn(ctx)
	case errors.Is(err, errMadeByHand):
		l.release()
	default:
		l.giveUp(ctx, err)
	}
	l.State.Tell(host.Unmanaged{UUID: l.spec.UUID})
	answer(false)
}

// begin makes the guest's disks and its first domain. Where a disk is late, only this guest waits for it; waits is
// called if that takes longer than others would want to.
func (l *life) begin(ctx context.Context, next chan<- struct{}, waits func()) (err error) {
	pass := sync.OnceFunc(func() { close(next) })
	defer pass()
	if l.Disks.Lacks(l.spec) != nil {
		pass()
		if err := l.awaitDisks(ctx, waits); err != nil {
			return err
		}
	}
	if l.disks, err = l.Disks.Prepare(ctx, l.spec); err != nil {
		return err
	}
	done, err := l.memory.Create(ctx, creations())
	pass()
	if err != nil {
		return err
	}
	defer done()
	return l.create(ctx)
}

// diskPatience is for how long a guest that waits for a disk counts as one that is being started: a stick that was
// there at the boot takes seconds to be found. The boot is not to be delayed by more than 5 s.
const diskPatience = 4 * time.Second

// The time between two looks whether a disk has come, at first and later on.
const (
	diskPause     = 100 * time.Millisecond
	diskLongPause = time.Second
)

// errMadeByHand says that somebody has made the guest while it waited.
var errMadeByHand = errors.New("somebody else has made the guest")

// awaitDisks waits until all devices are there that the guest's configuration names, for as long as that takes. It
// calls waits when diskPatience is over.
func (l *life) awaitDisks(ctx context.Context, waits func()) error {
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
			waits()
		case <-ctx.Done():
			return ctx.Err()
		}
		if g := l.State.Snapshot().ByUUID(l.spec.UUID); g != nil && g.Domid != 0 {
			return errMadeByHand
		}
	}
}

// goOn lives the guest's life from a domain that runs.
func (l *life) goOn(ctx context.Context) {
	for {
		began := time.Now()
		reason, domid := l.awaitEnd(ctx)
		if ctx.Err() != nil || !l.ended(ctx, reason, domid) || !l.rest(ctx, time.Since(began), reason) {
			return
		}
		if !l.createAgain(ctx) {
			return
		}
	}
}

// tries is how often a guest's next domain is tried. What spoils a creation often passes: dom0 was short of
// memory, or a device was still the last domain's.
const tries = 5

// createAgain makes the guest's next domain, and says whether it has. Nothing of those that failed is left.
func (l *life) createAgain(ctx context.Context) bool {
	for try := 1; ; try++ {
		err := l.createInTurn(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if try == tries || l.destroyLeft(ctx) != nil {
			l.giveUp(ctx, err)
			return false
		}
		l.memory.Vacate()
		l.phase(host.Restarting, err.Error())
		if !l.pause(ctx, time.Second<<try) {
			return false
		}
	}
}

// createInTurn makes the guest's domain when there is a place.
func (l *life) createInTurn(ctx context.Context) error {
	done, err := l.memory.Create(ctx, creations())
	if err != nil {
		return err
	}
	defer done()
	return l.create(ctx)
}

// giveUp ends the life of a guest whose domain could not be made, unless it ends with ctx anyway.
func (l *life) giveUp(ctx context.Context, err error) {
	if ctx.Err() == nil {
		l.cleanUp(ctx)
		l.State.Tell(host.GuestRefused{Name: l.spec.Name, Origin: l.spec.File, UUID: l.spec.UUID, Err: err})
	}
}

// release gives back what the guest had, at its final end.
func (l *life) release() {
	if l.disks != nil {
		if err := l.disks.Close(); err != nil {
			l.Log.Debug("guest disks", "guest", l.spec.Name, "err", err)
		}
	}
	l.memory.Release()
}

// create makes the guest's domain. A failure may leave something of it.
func (l *life) create(ctx context.Context) error {
	start := time.Now()
	l.State.Tell(host.GuestPhase{UUID: l.spec.UUID, Phase: host.Creating})
	if err := l.make(ctx); err != nil {
		return err
	}
	domid, err := l.find(ctx)
	if err != nil {
		return err
	}
	l.memory.Settle()
	l.State.Tell(host.Created{UUID: l.spec.UUID, Domid: domid, Took: time.Since(start)})
	l.Changed() // it may have ended before anybody knew its number
	return nil
}

// make writes the configuration under the name that the guest has now, and has xl create the domain.
func (l *life) make(ctx context.Context) error {
	if g := l.State.Snapshot().ByUUID(l.spec.UUID); g != nil && g.Name != l.spec.Name {
		l.spec = l.spec.Renamed(g.Name)
	}
	if err := os.WriteFile(l.file, l.spec.WithDevices(l.disks.Devices()).Bytes(), 0o644); err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, createTimeout+readTime(l.spec))
	defer cancel()
	err := l.Xen.Create(limit, l.file)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("xl hung and was killed: %w", err)
	}
	if err != nil {
		return fmt.Errorf("%w; its configuration as Xen got it is %s", err, l.file)
	}
	return nil
}

// readTime is how long a slow medium takes to read what a guest boots.
func readTime(spec *guests.Resolved) time.Duration {
	var bytes int64
	for _, name := range []string{"kernel", "ramdisk"} {
		if value, ok, err := spec.Complete.Text(name); ok && err == nil {
			if info, err := os.Stat(value.Text); err == nil {
				bytes += info.Size()
			}
		}
	}
	return time.Duration(bytes/slowMedium) * time.Second
}

// find returns the number of the guest's domain.
func (l *life) find(ctx context.Context) (int, error) {
	domain, found, err := l.Xen.Find(ctx, l.spec.UUID)
	if err == nil && (!found || domain.Dying) {
		err = errors.New("it ended as soon as it was created; see xl dmesg")
	}
	return domain.Domid, err
}

// cleanRetry is the time between two tries to destroy a domain that does not go.
const cleanRetry = 10 * time.Second

// cleanUp destroys what a failed creation has left. The guest's memory is given back when that is gone: where
// it does not go at once, in the background, and nobody waits for it.
func (l *life) cleanUp(ctx context.Context) {
	if l.destroyLeft(ctx) == nil {
		l.release()
		return
	}
	l.memory.Settle()
	go func() {
		for {
			select {
			case <-time.After(cleanRetry):
			case <-ctx.Done():
				return
			}
			if l.begunAnew() || l.destroyLeft(ctx) == nil {
				l.release()
				return
			}
		}
	}()
}

// begunAnew says that somebody has made the guest that failed, or is about to: its UUID is theirs.
func (l *life) begunAnew() bool {
	g := l.State.Snapshot().ByUUID(l.spec.UUID)
	return g == nil || g.Phase != host.Failed
}

// destroyLeft destroys the guest's domain if there is one, half made as it may be.
func (l *life) destroyLeft(ctx context.Context) error {
	domain, found, err := l.Xen.Find(ctx, l.spec.UUID)
	if err == nil && found {
		err = l.Xen.Destroy(ctx, domain.Domid)
	}
	if err != nil {
		l.Log.Debug("clean up", "guest", l.spec.Name, "err", err)
	}
	return err
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
			if so(update.ByUUID(l.spec.UUID)) {
				return true
			}
		case <-ctx.Done():
			return false
		}
	}
}

// awaitEnd returns why the guest's domain has shut down, and its number; no reason means that the domain is
// gone. To be suspended is no end: whoever asks for that destroys the domain or goes on with it.
func (l *life) awaitEnd(ctx context.Context) (reason host.Reason, domid int) {
	l.until(ctx, func(g *host.Guest) bool {
		if gone(g) {
			return true
		}
		if g.Shutdown != host.Suspend {
			reason, domid = g.Shutdown, g.Domid
		}
		return reason != ""
	})
	if reason == "" {
		domid = 0
	}
	return reason, domid
}

// gone says that a guest has no domain.
func gone(g *host.Guest) bool { return g == nil || g.Domid == 0 }

// ended does what the policy asks for, and says whether the guest is to be made anew.
func (l *life) ended(ctx context.Context, reason host.Reason, domid int) (again bool) {
	todo := l.policy[reason] // nothing of a domain that was destroyed by hand
	switch {
	case todo == preserve:
		l.preserve(ctx, reason)
		todo = destroy
	case todo == restart:
		l.memory.Leave()
		l.phase(host.Restarting, because(reason))
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

func (l *life) phase(phase host.Phase, problem string) {
	l.State.Tell(host.GuestPhase{UUID: l.spec.UUID, Phase: phase, Problem: problem})
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
		if g := l.State.Snapshot().ByUUID(l.spec.UUID); g == nil || g.Domid != domid {
			return
		}
		l.memory.Leave()
	}
}

// rest waits before the next life of a guest that ends again and again, and says whether there is to be
// one. A guest that has lived long enough is made anew at once, unless it has crashed.
func (l *life) rest(ctx context.Context, lived time.Duration, reason host.Reason) bool {
	if lived >= shortLife {
		l.quick = 0
	} else {
		l.quick++
	}
	if l.quick <= 1 && reason != host.Crash {
		return l.pause(ctx, 0)
	}
	return l.pause(ctx, min(longestPause, time.Second<<min(l.quick, 10)))
}

// pause waits so long before the guest's domain is made, and says whether that is still to be done: somebody may
// make the guest by hand meanwhile, and has it then.
func (l *life) pause(ctx context.Context, limit time.Duration) bool {
	pausing, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if l.until(pausing, func(g *host.Guest) bool { return g != nil && g.Phase == host.Running }) {
		l.release()
		return false
	}
	return ctx.Err() == nil
}
