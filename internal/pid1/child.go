package pid1

import (
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// wordsFD is a pipe's end that an inner process inherits. It says there in single bytes that it
// listens, that another one could go on with what it has made, and what it has decided on (an Action).
const wordsFD = 3

const (
	listensWord   = 0
	resumableWord = 1
)

// Ready is called by an inner process once it listens for signals. Until then requests are kept for
// it: a guest can be asked to power off while it still boots.
func Ready() {
	unix.CloseOnExec(wordsFD) // its own children have nothing to say there
	say(listensWord)
}

// Resumable is called by stage2 once there is something that another one can go on with.
func Resumable() { say(resumableWord) }

// Leave announces to process 1 the action that an inner process is about to end with, and returns the exit status for
// it. Process 1 does not wait long for the exit itself, which a dying disk can hold up.
func Leave(action Action) (status int) {
	say(byte(action))
	return int(action)
}

// say fails where nobody listens, which is a process that was not started by process 1.
func say(word byte) { _, _ = unix.Write(wordsFD, []byte{word}) }

// child is an inner process.
type child struct {
	pid     int
	said    chan byte     // its words; closed at their end
	listens bool          // for signals
	drained chan struct{} // closed when all that it printed on standard error was read
}

// start starts argv as a session leader; nil if that fails. With words, its standard error goes there,
// together with the reason when it could not be started.
func start(argv []string, words *lastWords) *child {
	c := &child{said: make(chan byte, 3), drained: make(chan struct{})}
	attr := &syscall.ProcAttr{
		Dir: "/", Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true},
	}
	if w := c.followErrors(words); w != nil {
		defer w.Close()
		attr.Files[2] = w.Fd()
	}
	if w := c.followWords(); w != nil {
		defer w.Close()
		attr.Files = append(attr.Files, w.Fd())
	}
	pid, err := syscall.ForkExec(argv[0], argv, attr)
	if err != nil {
		if words != nil {
			_, _ = io.WriteString(words, "start "+argv[0]+": "+err.Error()+"\n")
		}
		return nil
	}
	c.pid = pid
	return c
}

// followErrors reads what the child prints on standard error; it returns the end to print to.
func (c *child) followErrors(words *lastWords) *os.File {
	r, w, err := os.Pipe()
	if words == nil || err != nil {
		close(c.drained)
		return nil
	}
	go func() {
		defer close(c.drained)
		_, _ = io.Copy(words, r)
	}()
	return w
}

// followWords reads the child's words; it returns the end to say them to. A child that has no such end is
// taken to listen.
func (c *child) followWords() *os.File {
	r, w, err := os.Pipe()
	if err != nil {
		close(c.said)
		return nil
	}
	go func() {
		defer close(c.said)
		defer r.Close()
		var word [1]byte
		for {
			if _, err := r.Read(word[:]); err != nil {
				return
			}
			c.said <- word[0]
		}
	}()
	return w
}

func (c *child) signal(sig os.Signal) { _ = unix.Kill(c.pid, sig.(syscall.Signal)) }

// drainLimit is how long drain waits: what a child has started may hold its standard error open.
const drainLimit = 500 * time.Millisecond

// drain waits until all that the child has printed was read. Its last words may still be in the pipe.
func (c *child) drain() {
	select {
	case <-c.drained:
	case <-time.After(drainLimit):
	}
}
