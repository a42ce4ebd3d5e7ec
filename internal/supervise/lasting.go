package supervise

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// followed is the output of a process that outlives this one. It comes through a FIFO that the process has open for
// reading as well: with nobody at the other end its lines wait there, and no signal kills it.
type followed struct {
	fifo *os.File
	done chan struct{}
}

// openFIFO makes the FIFO of a lasting process, and opens the end that the process is to have.
func openFIFO(name string) (*os.File, error) {
	if err := unix.Mkfifo(name, 0o600); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("make FIFO %s: %w", name, err)
	}
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC, 0) // package os would make it not block, for the process too
	if err != nil {
		return nil, fmt.Errorf("open FIFO %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// follow passes on what comes through the FIFO until the last process that has it open has ended.
func follow(spec Spec) (*followed, error) {
	fifo, err := os.OpenFile(spec.Lasting, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	f := &followed{fifo, make(chan struct{})}
	out := &lines{prefix: spec.Name + ": ", to: spec.Output}
	if spec.Output == nil {
		out.to = io.Discard
	}
	go func() {
		defer close(f.done)
		_, _ = io.Copy(out, fifo)
		out.flush()
	}()
	return f, nil
}

// end returns when everything was passed on. What the process has started may hold the FIFO open.
func (f *followed) end() {
	select {
	case <-f.done:
	case <-time.After(outputDelay):
	}
	_ = f.fifo.Close()
	<-f.done
}

// adopted is a process that was started before this program was.
type adopted struct {
	id     int
	output *followed
	exited chan error
}

// errNotOurs is the end of a process whose exit status its parent gets.
var errNotOurs = errors.New("it has ended, nobody knows how")

// adopt takes over the process of a lasting service that runs already, nil where there is none.
func adopt(spec Spec) *adopted {
	id := findProcess(spec.Path, spec.Args)
	if id == 0 {
		return nil
	}
	fd, err := unix.PidfdOpen(id, 0)
	if err != nil {
		return nil // it has just ended
	}
	a := &adopted{id: id, exited: make(chan error, 1)}
	if a.output, err = follow(spec); err != nil && spec.Output != nil {
		fmt.Fprintf(spec.Output, "%s: output: %v\n", spec.Name, err)
	}
	go func() {
		defer unix.Close(fd)
		for {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
			if n == 1 || err != unix.EINTR {
				break
			}
		}
		if a.output != nil {
			a.output.end()
		}
		a.exited <- errNotOurs
	}()
	return a
}

func (a *adopted) pid() int { return a.id }

func (a *adopted) exit() <-chan error { return a.exited }

func (a *adopted) terminate(timeout time.Duration) { terminate(a, timeout) }

// findProcess returns the process with that command line that leads a session, as all do that execute has started; 0
// where there is none.
func findProcess(path string, args []string) int {
	want := strings.Join(slices.Concat([]string{path}, args), "\x00") + "\x00"
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		text, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		id, _ := strconv.Atoi(filepath.Base(dir))
		if err != nil || string(text) != want || id == os.Getpid() {
			continue
		}
		if session, err := unix.Getsid(id); err == nil && session == id {
			return id
		}
	}
	return 0
}

// terminate ends a process and its session: SIGTERM, and SIGKILL after the timeout.
func terminate(p running, timeout time.Duration) {
	signalGroup(p.pid(), syscall.SIGTERM)
	select {
	case <-p.exit():
	case <-time.After(timeout):
		signalGroup(p.pid(), syscall.SIGKILL)
		<-p.exit()
	}
}

// signalGroup reaches the whole process group, of which Setsid made the daemon the leader. That it is gone already is
// what the caller wanted.
func signalGroup(pid int, sig syscall.Signal) { _ = syscall.Kill(-pid, sig) }
