// Package pid1 is the outer of the two processes that make up init. It is kept so small that it
// cannot fail: it starts the inner one, reaps orphans, forwards signals, and ends the machine.
// The inner process ("stage2") does everything else and may crash. Another one is started then, which goes on with what
// it has left. Where that is not possible, or crashes as well, the emergency process keeps shells on the consoles, and
// carries on with an end of the machine that was under way.
//
// Two processes, because a reaper that waits for any child, in the same process as os/exec, takes
// exit statuses away from it (measured: 100 of 1,000 lost; with the split none).
package pid1

import (
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Action is how the machine ends.
type Action int

// The actions, as the exit status by which an inner process asks for them. Every other status is a crash.
const (
	PowerOff Action = 40 + iota
	Reboot
	Halt
)

// Again is the exit status of an emergency process that makes room for stage2.
const Again = 60

// goOn is no action: the machine goes on.
const goOn Action = 0

func (a Action) String() string {
	return map[Action]string{PowerOff: "poweroff", Reboot: "reboot", Halt: "halt"}[a]
}

func (a Action) valid() bool { return a >= PowerOff && a <= Halt }

// Signals maps the signals of PID 1 to actions: those of sysvinit and busybox, and SIGINT, which
// the kernel sends for Ctrl-Alt-Del (reboot(2), LINUX_REBOOT_CMD_CAD_OFF).
var Signals = map[os.Signal]Action{
	unix.SIGUSR1: Halt,
	unix.SIGUSR2: PowerOff,
	unix.SIGTERM: Reboot,
	unix.SIGINT:  Reboot,
}

// Init is what PID 1 needs from its surroundings; tests replace the parts that end a machine.
type Init struct {
	// Stage2 and Emergency are argument vectors; the first element is the program's path. When stage2 has ended without
	// asking for an action, it is started again with the last of its standard error as one more argument, if it has
	// called Resumable and did not crash again soon. Else Emergency is started, and again whenever it ends
	// itself without asking for an action. Its two more arguments are these last words, and after how long it is to
	// end with the status Again, "0s" for never.
	Stage2, Emergency []string
	// Stderr gets what stage2 prints on standard error, a Go panic above all, made printable.
	Stderr io.Writer
	// End stops the machine. It does not return on a real one.
	End func(Action)
}

const (
	// pause is between two starts of an emergency process, which may end, or fail to start, at once.
	pause = time.Second
	// maxRequests is how many requests go to emergency processes; the next one ends the machine.
	maxRequests = 3
	// leaveLimit is how long an inner process has to end after Leave. A thread of it that waits in the
	// kernel for a dying disk keeps it from ending, for minutes or for good.
	leaveLimit = 5 * time.Second
)

// outer is what Run knows.
type outer struct {
	*Init
	succession
	words     *lastWords // of stage2
	report    string     // what these were when it crashed
	inner     *child     // nil while none runs
	began     time.Time  // when it was started
	emergency bool       // stage2 has ended: inner is an emergency process
	stranded  bool       // the emergency process could not be started
	restart   <-chan time.Time
	waiting   []os.Signal // requests for inner, which does not listen yet
	underWay  os.Signal   // the first request; whoever comes after inner carries on with it
	requests  int         // that went to emergency processes
	leaving   Action      // what inner has decided on
	left      <-chan time.Time
}

// Run is PID 1. It returns only when End does.
func (i *Init) Run() {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals)
	o := &outer{Init: i, words: newLastWords(i.Stderr)}
	action := o.start()
	for action == goOn {
		action = o.step(signals)
	}
	i.End(action)
}

// step waits for one event and takes it in.
func (o *outer) step(signals <-chan os.Signal) Action {
	select {
	case sig := <-signals:
		if sig != unix.SIGCHLD {
			return o.request(sig)
		}
		if status, ok := reap()[o.innerPID()]; ok {
			return o.ended(status)
		}
	case word, ok := <-o.innerWords():
		o.said(word, ok)
	case <-o.restart:
		return o.start()
	case <-o.left:
		return o.leaving
	}
	return goOn
}

func (o *outer) innerPID() int {
	if o.inner == nil {
		return -1
	}
	return o.inner.pid
}

func (o *outer) innerWords() <-chan byte {
	if o.inner == nil {
		return nil
	}
	return o.inner.said
}

// start starts stage2, or, once that has ended, the emergency process. Without either, a request is
// done at once.
func (o *outer) start() Action {
	o.restart, o.began = nil, time.Now()
	if !o.emergency {
		if o.inner = start(o.stage2(), o.words); o.inner != nil {
			return goOn
		}
		o.emergency, o.report = true, o.words.take()
		o.resumes(0)
	}
	o.inner = start(slices.Concat(o.Emergency, []string{o.report, o.rest.String()}), nil)
	o.stranded = o.inner == nil
	if o.stranded {
		o.restart = time.After(pause) // a lack of memory passes
		return Signals[o.underWay]
	}
	return goOn
}

// stage2 is its argument vector.
func (o *outer) stage2() []string {
	if o.resumed {
		return slices.Concat(o.Stage2, []string{o.report})
	}
	return o.Stage2
}

// said takes in a word of inner's. The end of its words, too, says that there is no use in waiting.
func (o *outer) said(word byte, ok bool) {
	if action := Action(word); ok && action.valid() {
		o.leaving, o.left = action, time.After(leaveLimit)
		return
	}
	if ok && word == resumableWord {
		o.resumable = true
		return
	}
	if !ok {
		o.inner.said = nil
	}
	o.inner.listens = true
	for _, sig := range o.waiting {
		o.inner.signal(sig)
	}
	o.waiting = nil
}

// request takes in a signal.
func (o *outer) request(sig os.Signal) Action {
	action, ok := Signals[sig]
	if !ok {
		return goOn
	}
	if o.underWay == nil {
		o.underWay = sig
	}
	if o.stranded || o.insist() {
		return action
	}
	if o.inner != nil && o.inner.listens {
		o.inner.signal(sig)
	} else {
		o.waiting = append(o.waiting, sig)
	}
	return goOn
}

// insist counts a request that goes to an emergency process, and reports whether it is one too many. An
// emergency process that does not do it is not waited for: nothing is left to come to its rescue.
func (o *outer) insist() bool {
	if o.emergency {
		o.requests++
	}
	return o.requests > maxRequests
}

// ended takes in the end of inner.
func (o *outer) ended(status syscall.WaitStatus) Action {
	if action := Action(status.ExitStatus()); status.Exited() && action.valid() {
		return action
	}
	if o.leaving != goOn {
		return o.leaving
	}
	again := o.emergency && status.Exited() && status.ExitStatus() == Again && o.resumable
	failed := o.emergency && !again
	o.inner.drain()
	if !o.emergency {
		o.report = o.words.take()
		again = o.resumes(time.Since(o.began))
	}
	o.inner, o.emergency = nil, !again || o.underWay != nil
	if o.underWay != nil {
		if o.insist() {
			return Signals[o.underWay]
		}
		o.waiting = []os.Signal{o.underWay}
	}
	if failed {
		o.restart = time.After(pause)
		return goOn
	}
	return o.start()
}

// reap collects every child that has ended.
func reap() map[int]syscall.WaitStatus {
	ended := map[int]syscall.WaitStatus{}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return ended
		}
		ended[pid] = status
	}
}
