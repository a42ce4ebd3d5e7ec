// Package supervise keeps services running: it starts each, waits until it is ready, starts it again when it dies,
// and says so. A service is a program in the foreground or a function of this process. One goroutine owns each;
// everybody else reads the state it publishes. Table has all of a host by their names.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zerodisc/zerodisc/internal/confine"
)

// Spec describes a daemon. The zero value of a duration or count takes the default named.
type Spec struct {
	Name string
	Path string   // of the program, which must stay in the foreground
	Args []string // without the program's name
	Env  []string // "KEY=value", added to this process's environment
	// Lasting is the path of a FIFO for the output of a program that goes on when this process has crashed. One that
	// such a process has left behind, with the same command line, is taken over in place of being started.
	Lasting string

	// Run is the service where it is a function of this process, and no program. It returns when ctx ends; when it
	// returns earlier it has failed.
	//
	// A panic in it, or in a goroutine that it has started by guarded.Go, is a failure like any other: what it has was
	// its own, and what it was given came from the network. One packet that nobody thought of must not cost the host
	// its control over guests. A panic of what is no service, the state or the controller, ends this process all the
	// same: what they share may be half changed.
	Run func(ctx context.Context) error

	// Essential daemons hold state that dies with them: they are not started again.
	Essential bool
	// Kept is why nobody may stop the service, "" where anybody may; it can be restarted all the same.
	Kept string
	// Remedy ends the error of a daemon that is gone for good: what the user can do.
	Remedy string

	Ready        func(context.Context) error // polled until nil; no probe: ready once started
	ReadyTimeout time.Duration               // for the probe to succeed; 30 s
	StopTimeout  time.Duration               // from SIGTERM to SIGKILL; 5 s

	MinBackoff  time.Duration // before the first restart, doubled for each further one; 200 ms
	MaxBackoff  time.Duration // 10 s
	MaxRestarts int           // within Window; one more failure gives up; 5; Forever: it never gives up
	Window      time.Duration // 1 min

	Limits      *confine.Limits // of the program's rights; nil: it has this process's
	OOMScoreAdj int             // standing with the out-of-memory killer, package oom; 0 is the usual one

	Output io.Writer    // gets each line of stdout and stderr as one Write, "NAME: LINE\n"
	Report func(Status) // called by the owner at each change of phase; must not block or call Stop
}

// Forever is the count of restarts of what is always started again.
const Forever = -1

// Phase is where a daemon is in its life.
type Phase string

// The phases. Stopped, Failed and Off are final.
const (
	Starting Phase = "starting" // started, not ready yet
	Running  Phase = "running"  // ready
	Waiting  Phase = "waiting"  // died; will be started again
	Stopped  Phase = "stopped"  // by Stop
	Failed   Phase = "failed"   // died for good
	Off      Phase = "off"      // not to run, by Table.Off
)

// final says whether the daemon's owner has ended.
func (p Phase) final() bool { return p == Stopped || p == Failed || p == Off }

// Status is a daemon's state at one moment.
type Status struct {
	Name     string
	Phase    Phase
	PID      int // 0 while no process runs, and of a function
	Restarts int // since it was started first
	Since    time.Time
	Err      error // why the last process ended; set in Waiting and Failed; why it is Off
	Quiet    bool  // it is Off, or dies again and again, which was reported maxReported times: listed, but no news
}

// Daemon is a supervised program or function.
type Daemon struct {
	spec     Spec
	status   atomic.Pointer[Status] // written by the owner only
	history  history                // the owner's
	settled  chan struct{}          // closed at the first Running, Stopped or Failed
	settle   sync.Once
	again    atomic.Bool   // another one is started when this one is stopped
	stop     chan struct{} // closed by Stop
	stopOnce sync.Once
	done     chan struct{} // closed when the owner ends
}

// maxReported is how many deaths in a row are worth a line, of what is started again for ever.
const maxReported = 3

// errStopped ends a run that Stop asked to end.
var errStopped = errors.New("stopped")

// begin starts the daemon's owner.
func begin(spec Spec) *Daemon {
	d := newDaemon(spec)
	go d.own()
	return d
}

func newDaemon(spec Spec) *Daemon {
	spec = spec.withDefaults()
	d := &Daemon{
		spec:    spec,
		history: history{limit: spec.MaxRestarts, window: spec.Window, min: spec.MinBackoff, max: spec.MaxBackoff},
		settled: make(chan struct{}),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	d.status.Store(&Status{Name: spec.Name, Phase: Starting, Since: time.Now()})
	return d
}

// await waits until the daemon is ready or has failed for good. When ctx ends first it is stopped.
func (d *Daemon) await(ctx context.Context) error {
	select {
	case <-d.settled:
	case <-ctx.Done():
		d.Stop()
		return fmt.Errorf("start %s: %w", d.spec.Name, ctx.Err())
	}
	if status := d.Status(); status.Phase == Failed {
		return status.Err
	}
	return nil
}

// Status returns the daemon's present state.
func (d *Daemon) Status() Status { return *d.status.Load() }

// Stop ends the daemon, SIGTERM first and SIGKILL after Spec.StopTimeout, and returns when it is
// gone. It may be called more than once.
func (d *Daemon) Stop() {
	d.stopOnce.Do(func() { close(d.stop) })
	<-d.done
}

// own runs the daemon through its life.
func (d *Daemon) own() {
	defer close(d.done)
	for {
		started := time.Now()
		err := d.run()
		if errors.Is(err, errStopped) {
			d.publish(d.stopped(), 0, nil)
			return
		}
		pause, err := d.verdict(started, err)
		if pause == 0 {
			d.publish(Failed, 0, err)
			return
		}
		d.publish(Waiting, 0, err)
		select {
		case <-time.After(pause):
		case <-d.stop:
			d.publish(d.stopped(), 0, nil)
			return
		}
	}
}

// stopped is the phase of a daemon that was asked to end. One that is restarted has not come to rest.
func (d *Daemon) stopped() Phase {
	if d.again.Load() {
		return Waiting
	}
	return Stopped
}

// verdict decides what follows a process that was started then and ended with err: a pause before
// the next start, or none at all (0), with the error to report.
func (d *Daemon) verdict(started time.Time, err error) (time.Duration, error) {
	if d.spec.Essential {
		return 0, d.final(fmt.Errorf("%s died and cannot be started again: %w", d.spec.Name, err))
	}
	pause := d.history.next(time.Now(), time.Since(started))
	if pause == 0 {
		err = fmt.Errorf("%s died more than %d times in %v: %w", d.spec.Name, d.spec.MaxRestarts, d.spec.Window, err)
		return 0, d.final(err)
	}
	return pause, fmt.Errorf("%s died: %w", d.spec.Name, err)
}

// final adds what the user can do.
func (d *Daemon) final(err error) error {
	if d.spec.Remedy == "" {
		return err
	}
	return fmt.Errorf("%w; %s", err, d.spec.Remedy)
}

// running is what runs: a process or a function.
type running interface {
	pid() int
	exit() <-chan error // gets one value: why it ended, never nil
	terminate(timeout time.Duration)
}

// launch starts what the specification describes.
func launch(spec Spec) (running, error) {
	if spec.Run != nil {
		return call(spec), nil
	}
	if spec.Lasting != "" {
		if left := adopt(spec); left != nil {
			return left, nil
		}
	}
	return execute(spec)
}

// run starts one process or function and returns why it ended.
func (d *Daemon) run() error {
	p, err := launch(d.spec)
	if err != nil {
		return err
	}
	d.publish(Starting, p.pid(), nil)
	ctx, cancel := context.WithTimeout(context.Background(), d.spec.ReadyTimeout)
	defer cancel()
	var ready <-chan error
	if d.spec.Ready == nil {
		d.publish(Running, p.pid(), nil) // whoever waits for it need not, even if it ends at once
	} else {
		ready = d.probe(ctx)
	}
	for {
		select {
		case err := <-p.exit():
			return err
		case <-d.stop:
			p.terminate(d.spec.StopTimeout)
			return errStopped
		case err := <-ready:
			if err != nil {
				p.terminate(d.spec.StopTimeout)
				return fmt.Errorf("not ready within %v: %w", d.spec.ReadyTimeout, err)
			}
			d.publish(Running, p.pid(), nil)
		}
	}
}

// publish makes a state visible.
func (d *Daemon) publish(phase Phase, pid int, err error) {
	last := d.Status()
	next := &Status{
		Name: d.spec.Name, Phase: phase, PID: pid, Restarts: last.Restarts, Since: time.Now(), Err: err,
		Quiet: !phase.final() && d.spec.MaxRestarts == Forever && d.history.quick > maxReported,
	}
	if last.Phase == Waiting && phase == Starting {
		next.Restarts++
	}
	d.status.Store(next)
	if d.spec.Report != nil {
		d.spec.Report(*next)
	}
	if phase == Running || phase.final() {
		d.settle.Do(func() { close(d.settled) })
	}
}

// withDefaults fills in what was left zero.
func (s Spec) withDefaults() Spec {
	for _, d := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&s.ReadyTimeout, 30 * time.Second},
		{&s.StopTimeout, 5 * time.Second},
		{&s.MinBackoff, 200 * time.Millisecond},
		{&s.MaxBackoff, 10 * time.Second},
		{&s.Window, time.Minute},
	} {
		if *d.value == 0 {
			*d.value = d.fallback
		}
	}
	if s.MaxRestarts == 0 {
		s.MaxRestarts = 5
	}
	return s
}
