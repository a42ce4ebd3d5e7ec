package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	uuid   string
	spec   *guests.Resolved // what the guest is made of next; an order may change it
	source guests.Source
	policy policy
	memory *memory.Guest
	disks  *guestdisk.Set // nil before they are made
	file   string         // the configuration as xl gets it
	delay  time.Duration  // before its first domain is made
	quick  int            // how many lives in a row were short
	orders chan order     // taken while its domain runs
	over   chan struct{}  // closed at its final end
}

func (c *Controller) newLife(spec *guests.Resolved, p policy, source guests.Source) *life {
	return &life{
		Controller: c, uuid: spec.UUID, spec: spec, source: source, policy: p,
		file: filepath.Join(c.Dir, spec.Name+".cfg"),
		delay: spec.Override.Delay, orders: make(chan order), over: make(chan struct{}),
	}
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
// closes next when the next guest may begin, so that guests are made in their order. result gets once why the first
// domain was not made; ErrWaits is for one that will be once the guest's disks are there.
func (l *life) run(ctx context.Context, turn <-chan struct{}, next chan<- struct{}, result chan<- error) {
	<-turn
	answered := false
	answer := func(err error) {
		if !answered {
			answered = true
			result <- err
		}
	}
	err := l.first(ctx, next, answer)
	switch {
	case err == nil:
		answer(nil)
		l.goOn(ctx)
	case errors.Is(err, errMadeByHand):
		l.release()
	default:
		l.giveUp(ctx, err)
	}
	l.finish()
	answer(err)
}

// finish lets go of the guest.
func (l *life) finish() {
	l.State.Tell(host.Unmanaged{UUID: l.uuid})
	close(l.over)
}

// first makes the guest's disks and its first domain. Where a disk is late, only this guest waits for it; waits is
// called if that takes longer than others would want to.
func (l *life) first(ctx context.Context, next chan<- struct{}, waits func(error)) error {
	pass := sync.OnceFunc(func() { close(next) })
	defer pass()
	done, err := l.ready(ctx, pass, waits)
	if err != nil {
		return err
	}
	defer done()
	return l.create(ctx)
}

// ready waits until the guest's domain can be made, or until somebody does not want it any more. done is to be called
// when it is made; the next guest may be made meanwhile.
func (l *life) ready(ctx context.Context, pass func(), waits func(error)) (done func(), err error) {
	ctx, cancel := l.unless(ctx, host.WantStop, host.WantDestroy)
	defer cancel()
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
	pass()
	return done, err
}

// unless returns a context that ends when somebody wants one of these of the guest.
func (l *life) unless(ctx context.Context, wants ...host.Want) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		l.until(ctx, func(g *host.Guest) bool { return g != nil && slices.Contains(wants, g.Wanted) })
		cancel()
	}()
	return ctx, cancel
}

// wanted is what somebody wants of the guest.
func (l *life) wanted() host.Want {
	if g := l.State.Snapshot().ByUUID(l.uuid); g != nil {
		return g.Wanted
	}
	return ""
}

// unwanted says whether the guest is not to be made any more.
func (l *life) unwanted() bool { return l.wanted() == host.WantStop || l.wanted() == host.WantDestroy }

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
		if g := l.State.Snapshot().ByUUID(l.uuid); g != nil && g.Domid != 0 {
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
		if try == tries || l.unwanted() || l.destroyLeft(ctx) != nil {
			l.giveUp(ctx, err)
			return false
		}
		l.memory.Vacate()
		l.phase(host.Restarting, err.Error())
		if !l.pause(ctx, time.Second<<try, host.WantStop, host.WantDestroy) {
			return false
		}
	}
}

// createInTurn makes the guest's domain when there is a place.
func (l *life) createInTurn(ctx context.Context) error {
	waiting, cancel := l.unless(ctx, host.WantStop, host.WantDestroy)
	defer cancel()
	done, err := l.memory.Create(waiting, creations())
	if err != nil {
		return err
	}
	defer done()
	return l.create(ctx)
}

// giveUp ends the life of a guest whose domain could not be made, unless it ends with ctx anyway. That of one that is
// not wanted any more has just stopped.
func (l *life) giveUp(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if l.cleanUp(ctx) && l.unwanted() {
		l.phase(host.Stopped, "")
		return
	}
	l.State.Tell(host.GuestRefused{
		Name: l.spec.Name, Origin: l.spec.File, Source: l.source, UUID: l.uuid, Err: err,
	})
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
	l.State.Tell(host.GuestPhase{UUID: l.uuid, Phase: host.Creating})
	if err := l.make(ctx); err != nil {
		return err
	}
	domid, err := l.find(ctx)
	if err != nil {
		return err
	}
	l.memory.Settle()
	l.State.Tell(host.Created{UUID: l.uuid, Domid: domid, Took: time.Since(start)})
	l.Changed() // it may have ended before anybody knew its number
	return nil
}

// make writes the configuration under the name that the guest has now, and has xl create the domain, unless somebody
// wants the guest to be destroyed meanwhile.
func (l *life) make(ctx context.Context) error {
	if g := l.State.Snapshot().ByUUID(l.uuid); g != nil && g.Name != l.spec.Name {
		l.spec = l.spec.Renamed(g.Name)
	}
	if err := l.write(); err != nil {
		return err
	}
	ctx, wanted := l.unless(ctx, host.WantDestroy)
	defer wanted()
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

// write writes the configuration that xl gets.
func (l *life) write() error {
	return os.WriteFile(l.file, l.spec.WithDevices(l.disks.Devices()).Bytes(), 0o644)
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
	domain, found, err := l.Xen.Find(ctx, l.uuid)
	if err == nil && (!found || domain.Dying) {
		err = errors.New("it ended as soon as it was created; see xl dmesg")
	}
	return domain.Domid, err
}

// cleanRetry is the time between two tries to destroy a domain that does not go.
const cleanRetry = 10 * time.Second

// cleanUp destroys what a failed creation has left, and says whether it is gone. The guest's memory is given back then:
// where it does not go at once, in the background, and nobody waits for it.
func (l *life) cleanUp(ctx context.Context) (gone bool) {
	if l.destroyLeft(ctx) == nil {
		l.release()
		return true
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
	return false
}

// begunAnew says that somebody has made the guest that failed, or is about to: its UUID is theirs.
func (l *life) begunAnew() bool {
	g := l.State.Snapshot().ByUUID(l.uuid)
	return g == nil || g.Phase != host.Failed
}

// destroyLeft destroys the guest's domain if there is one, half made as it may be.
func (l *life) destroyLeft(ctx context.Context) error {
	domain, found, err := l.Xen.Find(ctx, l.uuid)
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

// ended does what was ordered, or what the policy asks for, and says whether the guest is to be made anew.
func (l *life) ended(ctx context.Context, reason host.Reason, domid int) (again bool) {
	todo := l.todo(reason)
	if todo == preserve {
		l.preserve(ctx, reason)
		todo, domid = l.todo(""), 0
	}
	switch {
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

// todo is what is to be done with a domain that has ended; nothing with one that was destroyed by hand. A guest that
// was to stop, did not do so in time, and reboots later does as it is configured.
func (l *life) todo(reason host.Reason) action {
	g := l.State.Snapshot().ByUUID(l.uuid)
	switch {
	case g == nil || g.Wanted == "" || g.Wanted == host.WantStop && g.Order == "" && reason == host.Reboot:
		return l.policy[reason]
	case g.Wanted == host.WantRestart:
		return restart
	}
	return destroy
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

// rest waits before the next life of a guest that ends again and again, and says whether there is to be
// one. A guest that has lived long enough is made anew at once, unless it has crashed; so is one whose restart was
// ordered.
func (l *life) rest(ctx context.Context, lived time.Duration, reason host.Reason) bool {
	if lived >= shortLife {
		l.quick = 0
	} else {
		l.quick++
	}
	limit := time.Duration(0)
	if l.quick > 1 || reason == host.Crash {
		limit = min(longestPause, time.Second<<min(l.quick, 10))
	}
	return l.pause(ctx, limit, host.WantStop, host.WantDestroy, host.WantRestart)
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
