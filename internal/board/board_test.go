package board

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/meter"
)

// serialLine returns the far end of a terminal that does not know its size, and its device.
func serialLine(t *testing.T) (*os.File, string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	var number int
	err = control(master, func(fd int) error {
		_ = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
		number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return err
	})
	device := fmt.Sprintf("/dev/pts/%d", number)
	if _, statErr := os.Stat(device); err != nil || statErr != nil {
		t.Skipf("no pseudo-terminals here: %v, %v", err, statErr)
	}
	return master, device
}

// await reads until the far end has got something.
func await(t *testing.T, line *os.File, what string) (got []byte) {
	t.Helper()
	_ = line.SetReadDeadline(time.Now().Add(10 * time.Second))
	for part := make([]byte, 4096); !bytes.Contains(got, []byte(what)); {
		n, err := line.Read(part)
		got = append(got, part[:n]...)
		if err != nil {
			t.Fatalf("no %q: %v in %q", what, err, got)
		}
	}
	return got
}

// TestSerialLine has a board on a line whose terminal says how large it is, and is left once by q, once because the
// machine ends. Nobody else writes to the terminal meanwhile.
func TestSerialLine(t *testing.T) {
	line, device := serialLine(t)
	held := make(chan bool, 8)
	var s host.Snapshot
	run := func(s *host.Snapshot) chan error {
		ended := make(chan error, 1)
		go func() {
			ended <- Run(t.Context(), Config{
				Terminal: NewTerminal(device, func(*os.File) (give func()) {
					held <- true
					return func() { held <- false }
				}),
				Leave: true, Snapshot: func() *host.Snapshot { return s },
				Uptime: func() time.Duration { return time.Hour }, LogIn: func(*host.Snapshot) []string { return nil },
				Meter: meter.New(os.DirFS(t.TempDir()), os.DirFS(t.TempDir()), func() (map[int]time.Duration, error) {
					return nil, errors.ErrUnsupported
				}),
			})
		}()
		return ended
	}
	ended := run(&s)
	if got := await(t, line, "\x1b[24;1H"); !bytes.Contains(got, []byte("\x1b[6n")) {
		t.Errorf("the terminal was not asked for its size: %q", got)
	}
	if _, err := line.WriteString("\x1b[43;132R"); err != nil {
		t.Fatal(err)
	}
	await(t, line, "\x1b[43;1H")
	if len(held) != 1 || !<-held {
		t.Error("the terminal is not held")
	}
	time.Sleep(patience + patience/4) // the time for the last lines is over
	if _, err := line.WriteString("q"); err != nil {
		t.Fatal(err)
	}
	await(t, line, endScreen)
	if err := <-ended; err != nil || <-held {
		t.Errorf("left: %v, or the terminal is still held", err)
	}
	s.Host.Ending = "poweroff"
	if err := <-run(&s); err != nil || !<-held || <-held {
		t.Errorf("at the end of the machine: %v, or the terminal is still held", err)
	}
}

func TestPause(t *testing.T) {
	for _, test := range []struct {
		byHand bool
		ago    time.Duration
		want   time.Duration
	}{
		{false, time.Minute, refresh}, {false, time.Hour, slowRefresh}, {true, time.Hour, refresh},
	} {
		b := &board{Config: Config{Leave: test.byHand}, pressed: start}
		if got := b.pause(start.Add(test.ago)); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
	if got := new(board).pause(start); got != slowRefresh {
		t.Errorf("before the first key: %v", got)
	}
}
