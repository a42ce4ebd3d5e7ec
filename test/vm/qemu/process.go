package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/zerodisc/zerodisc/test/vm/console"
)

// Process is a machine that runs.
type Process struct {
	Console *console.Log // its serial console
	PowerOn time.Time

	dir      string
	argv     []string
	keyboard io.WriteCloser
	errors   strings.Builder
	qmp      *qmp
	process  *os.Process
	exited   chan struct{}
	exit     error

	shellListens bool
	sentinels    int
}

// Command returns the argument vector that boots m, after making in dir the files it needs.
func Command(m Machine, dir string) ([]string, error) {
	m = m.withDefaults()
	if m.Emulator.IsZero() {
		var err error
		if m.Emulator, err = Debian(); err != nil {
			return nil, err
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := m.prepare(dir)
	if err != nil {
		return nil, err
	}
	args, err := m.args(f)
	return m.Emulator.Command(context.Background(), args...).Args, err
}

// Launch powers m on. What belongs to it, the serial console's raw bytes in serial.log among
// them, is kept in dir, so that a failure can be looked into; Close ends the machine.
func Launch(m Machine, dir string) (*Process, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	argv, err := Command(m, dir)
	if err != nil {
		return nil, err
	}
	raw, err := os.Create(filepath.Join(dir, "serial.log"))
	if err != nil {
		return nil, err
	}
	p := &Process{Console: console.NewLog(), dir: dir, argv: argv, exited: make(chan struct{})}
	control, err := p.start(raw)
	if err != nil {
		raw.Close()
		return nil, err
	}
	if p.qmp, err = newQMP(control); err != nil {
		control.Close()
		p.Close()
		return nil, fmt.Errorf("%w: %w\n%s", err, p.exitReason(), Quote(argv))
	}
	return p, nil
}

// start runs QEMU and returns the connection for QMP. That comes over an inherited socket: no
// path that is too long, nothing to clean up.
func (p *Process) start(raw io.WriteCloser) (net.Conn, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close() // only QEMU keeps it, so that QEMU's end is seen at ours
	cmd := exec.Command(p.argv[0], append(slices.Clone(p.argv[1:]),
		"-chardev", "socket,id=qmp,fd=3", "-mon", "chardev=qmp,mode=control")...)
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stdout = io.MultiWriter(p.Console, raw)
	cmd.Stderr = &p.errors
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.keyboard, err = cmd.StdinPipe()
	p.PowerOn = time.Now()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("start QEMU: %w", err)
	}
	p.process = cmd.Process
	go p.wait(cmd, raw)
	return ours, nil
}

// wait waits for QEMU's end and tells everybody.
func (p *Process) wait(cmd *exec.Cmd, raw io.Closer) {
	p.exit = cmd.Wait()
	raw.Close()
	close(p.exited)
	p.Console.Close(p.exitReason())
}

// exitReason says how QEMU ended. It is never nil.
func (p *Process) exitReason() error {
	how := "qemu has exited, the machine is off"
	if p.exit != nil {
		how = "qemu has failed: " + p.exit.Error()
	}
	if said := strings.TrimSpace(p.errors.String()); said != "" {
		how += "; it said: " + said
	}
	return errors.New(how)
}

// socketPair returns the two ends of a socket, one for here and one to hand down.
func socketPair() (net.Conn, *os.File, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make QMP socket: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "qmp"), os.NewFile(uintptr(fds[1]), "qmp")
	defer ours.Close() // FileConn duplicates it
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("make QMP socket: %w", err)
	}
	return conn, theirs, nil
}

// WaitOff waits until QEMU has exited by itself: the guest has powered the machine off.
func (p *Process) WaitOff(ctx context.Context) error {
	select {
	case <-p.exited:
		return p.exit
	case <-ctx.Done():
		return fmt.Errorf("power off: %w", console.ErrDeadline)
	}
}

// Crashed says that a fault of QEMU's own has ended it.
func (p *Process) Crashed() bool {
	select {
	case <-p.exited:
	default:
		return false
	}
	var status *exec.ExitError
	if !errors.As(p.exit, &status) {
		return false
	}
	signal := status.Sys().(syscall.WaitStatus).Signal()
	return slices.Contains([]syscall.Signal{
		syscall.SIGSEGV, syscall.SIGABRT, syscall.SIGBUS, syscall.SIGILL, syscall.SIGFPE,
	}, signal)
}

// Signal sends QEMU a signal.
func (p *Process) Signal(s syscall.Signal) error { return p.process.Signal(s) }

// Close cuts the power, if it is still on.
func (p *Process) Close() {
	_ = p.process.Kill()
	<-p.exited
	if p.qmp != nil {
		_ = p.qmp.conn.Close()
	}
}

// Dir is where the machine's files are.
func (p *Process) Dir() string { return p.dir }

// Report returns what a person needs to look into a failure: the last lines of the serial console
// and a command that boots the same machine with that console in the terminal.
func (p *Process) Report() string {
	return fmt.Sprintf("--- last lines of the serial console (all of it: %s)\n%s--- boot the same machine again\n%s\n",
		filepath.Join(p.dir, "serial.log"), p.Console.Tail(40), Quote(p.argv))
}

// FreePort returns a TCP port of 127.0.0.1 that nobody listens on: the wanted one, where it is
// free and not 0, else another.
func FreePort(wanted int) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(wanted)))
	if err != nil && wanted != 0 {
		return FreePort(0)
	}
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
