package console

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no such port") }

func TestWriteSkipsABrokenConsole(t *testing.T) {
	var a, b bytes.Buffer
	c := New(&a, broken{}, &b)
	for range 2 {
		if n, err := c.Write([]byte("x")); n != 1 || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	if a.String() != "xx" || b.String() != "xx" {
		t.Errorf("consoles got %q and %q, want xx each", a.String(), b.String())
	}
}

// terminal returns the two ends of a pseudo-terminal: the keyboard and screen, and the name of the
// device for Open.
func terminal(t *testing.T) (*os.File, string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|noctty, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	raw, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number int
	var failures [2]error
	err = raw.Control(func(fd uintptr) {
		failures[0] = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
		number, failures[1] = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
	})
	if err := errors.Join(append(failures[:], err)...); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("pts/%d", number)
	if _, err := os.Stat("/dev/" + name); err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	return master, name
}

// readUntil reads the screen until it ends with what is wanted.
func readUntil(t *testing.T, screen *os.File, end string) string {
	t.Helper()
	if err := screen.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var text []byte
	part := make([]byte, 4096)
	for !bytes.HasSuffix(text, []byte(end)) {
		n, err := screen.Read(part)
		text = append(text, part[:n]...)
		if err != nil {
			t.Fatalf("%v after %d bytes, ending with %.100q", err, len(text), text[max(0, len(text)-100):])
		}
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}

// write writes in a goroutine, since a Write that is stuck cannot be taken back.
func write(t *testing.T, c *Consoles, lines ...string) time.Duration {
	t.Helper()
	start, done := time.Now(), make(chan bool)
	go func() {
		for _, line := range lines {
			_, _ = io.WriteString(c, line)
		}
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("Write hangs on a stopped console")
	}
	return time.Since(start)
}

// A person stops the screen with Ctrl-S and lets it go on with Ctrl-Q.
func TestWriteSkipsLinesOfAStoppedConsole(t *testing.T) {
	keyboard, name := terminal(t)
	var other bytes.Buffer
	c := Open(t.TempDir(), []string{name})
	c.Add(&other)
	write(t, c, "before\n")
	readUntil(t, keyboard, "before\r\n")

	if _, err := keyboard.WriteString("\x13"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // the kernel takes the key in a worker
	lines := slices.Repeat([]string{"missed\n"}, 100)
	if took := write(t, c, lines...); took > 5*patience {
		t.Errorf("%d lines took %v", len(lines), took)
	}
	if want := "before\n" + strings.Join(lines, ""); other.String() != want {
		t.Errorf("the other console got %d bytes, want %d", other.Len(), len(want))
	}

	if _, err := keyboard.WriteString("\x11"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	write(t, c, "after\n")
	if got := readUntil(t, keyboard, "after\r\n"); got != "after\n" {
		t.Errorf("screen shows %q", got)
	}
	// It is as patient as before: a console that is slow loses nothing.
	time.AfterFunc(patience/4, func() { keyboard.WriteString("\x11") })
	if _, err := keyboard.WriteString("\x13"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	write(t, c, "slow\n")
	if got := readUntil(t, keyboard, "slow\r\n"); got != "slow\n" {
		t.Errorf("screen shows %q", got)
	}
}

// The line that fills a console nobody reads is out in part; the rest of it comes before the next.
func TestWriteTearsNoLine(t *testing.T) {
	screen, name := terminal(t)
	c := Open(t.TempDir(), []string{name})
	long := strings.Repeat("x", 1<<18) + "\n" // more than the kernel keeps
	write(t, c, long, "missed\n")
	stop := make(chan bool)
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				_, _ = io.WriteString(c, "after\n")
			}
		}
	}()
	got := readUntil(t, screen, "after\r\n")
	if next, ok := strings.CutPrefix(got, long); !ok || strings.ReplaceAll(next, "after\n", "") != "" {
		t.Errorf("screen shows %d bytes, ending with %.100q", len(got), got[max(0, len(got)-100):])
	}
}

// A program that was killed has left the terminal raw.
func TestRestore(t *testing.T) {
	keyboard, name := terminal(t)
	tty, err := os.OpenFile("/dev/"+name, os.O_RDWR|noctty, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	raw := *before
	raw.Iflag, raw.Oflag, raw.Lflag = 0, 0, 0
	if err := unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, &raw); err != nil {
		t.Fatal(err)
	}
	if err := Restore(name); err != nil {
		t.Fatal(err)
	}
	readUntil(t, keyboard, "\x1bc")
	after, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	lines := uint32(unix.ICANON | unix.ECHO | unix.ISIG)
	if err != nil || after.Lflag&lines != lines || after.Iflag&unix.ICRNL == 0 || after.Oflag&unix.OPOST == 0 {
		t.Errorf("settings %+v, %v", after, err)
	}
}

func TestActive(t *testing.T) {
	for text, want := range map[string][]string{
		"tty0 hvc0\n": {"tty1", "hvc0"},
		"tty0\n":      {"tty1"},
		"":            {},
	} {
		if got := Active(text); !slices.Equal(got, want) {
			t.Errorf("Active(%q) = %v, want %v", text, got, want)
		}
	}
}

func TestLoggerForm(t *testing.T) {
	var out bytes.Buffer
	Logger(&out, slog.LevelInfo).Info("guest running", "guest", "tty1", "domid", 1, "ms", 2210)
	if got, want := out.String(), "level=INFO msg=\"guest running\" guest=tty1 domid=1 ms=2210\n"; got != want {
		t.Errorf("line = %q, want %q", got, want)
	}
}

// The kernel hangs up the log's terminal when a shell on it exits; closing the file is as good.
func TestWriteOpensADeviceThatFailedAnew(t *testing.T) {
	keyboard, name := terminal(t)
	c := Open(t.TempDir(), []string{name})
	if err := c.outs[0].w.(*os.File).Close(); err != nil {
		t.Fatal(err)
	}
	write(t, c, "again\n")
	if got := readUntil(t, keyboard, "again\r\n"); got != "again\n" {
		t.Errorf("screen shows %q", got)
	}
}
