// Package pid1 is the outer of the two processes that make up init. It is kept so small that it
// cannot fail: it starts the inner one, reaps orphans, forwards signals, and ends the machine.
// The inner process ("stage2") does everything else and may crash; the rescue process then keeps
// shells on the consoles.
//
// Two processes, because a reaper that waits for any child beside os/exec in one process takes
// exit statuses away from os/exec (measured: 100 of 1,000 lost; with the split none).
package pid1

import (
	"bytes"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Action is how the machine ends.
type Action int

// The actions, as the exit status by which stage2 asks for them. Every other status is a crash.
const (
	PowerOff Action = 40 + iota
	Reboot
	Halt
)

func (a Action) String() string {
	return map[Action]string{PowerOff: "poweroff", Reboot: "reboot", Halt: "halt"}[a]
}

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
	// Stage2 and Rescue are argument vectors; the first element is the program's path. Rescue is
	// started, with the last of stage2's standard error as one more argument, when stage2 has
	// ended without asking for an action, and again whenever it ends itself without asking for one.
	Stage2, Rescue []string
	// Stderr gets what stage2 prints on standard error, a Go panic above all.
	Stderr io.Writer
	// End stops the machine. It does not return on a real one.
	End func(Action)
}

const (
	reportSize  = 8 << 10     // bytes kept of stage2's standard error: a panic and its goroutine
	rescuePause = time.Second // between two starts of a rescue process that ends at once

	rescueRequests = 3 // so many requests go to the rescue process, the next one ends the machine
)

// readyFD is a pipe's end that the inner process inherits; see Ready.
const readyFD = 3

// Ready is called by an inner process once it listens for signals. Until then requests are kept for
// it: a guest can be asked to power off while it still boots.
func Ready() { _ = unix.Close(readyFD) }

// Run is PID 1. It returns only when End does.
func (i *Init) Run() {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals)
	report := &tail{out: i.Stderr}
	rescuing := false
	inner, ready := start(i.Stage2, report)
	startRescue := func() {
		rescuing = true
		inner, ready = start(append(i.Rescue, report.String()), nil)
	}
	if inner < 0 {
		startRescue()
	}
	var pending []os.Signal
	asked := 0
	for {
		select {
		case <-ready:
			ready = nil
			for _, sig := range pending {
				_ = unix.Kill(inner, sig.(syscall.Signal))
			}
			pending = nil
		case sig := <-signals:
			if sig == unix.SIGCHLD {
				status, ok := reap()[inner]
				if !ok {
					continue
				}
				if action := Action(status.ExitStatus()); status.Exited() && action >= PowerOff && action <= Halt {
					i.End(action)
					return
				}
				if rescuing {
					time.Sleep(rescuePause)
				}
				startRescue()
				continue
			}
			action, ok := Signals[sig]
			if !ok {
				continue
			}
			if rescuing {
				asked++
			}
			// A rescue process that does not do it is not waited for: nothing is left to rescue it.
			if inner < 0 || asked > rescueRequests {
				i.End(action)
				return
			}
			if ready != nil {
				pending = append(pending, sig)
			} else {
				_ = unix.Kill(inner, sig.(syscall.Signal))
			}
		}
	}
}

// start starts argv as a session leader and returns its process id, or -1, and a channel that is
// closed when it is Ready or has ended. With a report, its standard error goes there, together
// with the reason when it could not be started.
func start(argv []string, report *tail) (int, <-chan struct{}) {
	attr := &syscall.ProcAttr{Dir: "/", Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true}}
	if report != nil {
		if r, w, err := os.Pipe(); err == nil {
			defer w.Close()
			attr.Files[2] = w.Fd()
			go func() { _, _ = io.Copy(report, r) }()
		}
	}
	ready := make(chan struct{})
	if r, w, err := os.Pipe(); err == nil {
		defer w.Close()
		attr.Files = append(attr.Files, w.Fd())
		go func() {
			_, _ = r.Read(make([]byte, 1)) // until nobody has the other end
			r.Close()
			close(ready)
		}()
	} else {
		close(ready)
	}
	pid, err := syscall.ForkExec(argv[0], argv, attr)
	if err != nil {
		if report != nil {
			_, _ = io.WriteString(report, "start "+argv[0]+": "+err.Error()+"\n")
		}
		return -1, nil
	}
	return pid, ready
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

// tail passes bytes on and keeps the last of them.
type tail struct {
	out  io.Writer
	mu   sync.Mutex
	last []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, p...)
	t.last = t.last[max(0, len(t.last)-reportSize):]
	if t.out != nil {
		_, _ = t.out.Write(p)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.ToValidUTF8(bytes.TrimSpace(t.last), []byte("?")))
}
