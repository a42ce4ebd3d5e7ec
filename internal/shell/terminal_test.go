package shell

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// asShell is set in the environment of the test's program where it is to be the shell.
const asShell = "ZERODISC_TEST_SHELL"

func TestMain(m *testing.M) {
	if os.Getenv(asShell) == "" {
		os.Exit(m.Run())
	}
	os.Exit(Main(nil, Config{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Complete: func(string, []string) []string {
		return []string{"web"}
	}}))
}

// terminal is a shell on a terminal.
type terminal struct {
	*os.File
	t     *testing.T
	cmd   *exec.Cmd
	shown string
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80})
	}
	if err != nil {
		t.Skip(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer slave.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), asShell+"=1", "TERM=vt102", "TMPDIR="+t.TempDir())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); master.Close() })
	return &terminal{File: master, t: t, cmd: cmd}
}

// expect reads until text is shown, and forgets what is up to it.
func (t *terminal) expect(text string) {
	t.t.Helper()
	b := make([]byte, 4096)
	for {
		_, after, found := strings.Cut(t.shown, text)
		if found {
			t.shown = after
			return
		}
		n, err := t.Read(b)
		if err != nil {
			t.t.Fatalf("%v; shown is %q, want %q", err, t.shown, text)
		}
		t.shown += string(b[:n])
	}
}

func (t *terminal) types(keys string) {
	t.t.Helper()
	if _, err := t.WriteString(keys); err != nil {
		t.t.Fatal(err)
	}
}

// TestTerminal edits a line, completes a guest, goes on in the next line, has a program read what is typed, and
// interrupts one.
func TestTerminal(t *testing.T) {
	s := newTerminal(t)
	s.expect(prompt)
	s.types("echo b\x01\x1b[Ca\x7fa\r") // Ctrl-A, right, a, backspace, a
	s.expect("not found")
	s.expect(prompt)
	s.types("echo guest stop w\t.\r")
	s.expect("guest stop web .\r\n")
	s.expect(prompt)
	s.types("for i in 1 2; do\r")
	s.expect(continued)
	s.types("echo $i$i; done\r")
	s.expect("11\r\n22\r\n" + prompt)
	s.types("echo u''p; read x; echo \"<$x>\"\r")
	s.expect("up\r\n")
	s.types("y z\r")
	s.expect("<y z>\r\n" + prompt)
	s.types("sh -c \"echo u''p; exec sleep 1000\"\r")
	s.expect("up\r\n")
	s.types("\x03")
	s.expect(prompt)
	s.types("echo $?\r")
	s.expect("130\r\n" + prompt)
	s.types("exit 3\r")
	if err := s.cmd.Wait(); s.cmd.ProcessState.ExitCode() != 3 {
		t.Error(err)
	}
}
