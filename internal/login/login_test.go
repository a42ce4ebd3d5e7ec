package login

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/passwd"
)

// hash is of "zerodisc": openssl passwd -5 -salt salt zerodisc.
const hash = "$5$salt$lF92eOkxYeaHwKK3hv4DHoaai9M.DGPUPxUmsnIPL9."

func guard(t *testing.T) *Guard {
	t.Helper()
	parsed, err := passwd.Parse(hash)
	if err != nil {
		t.Fatal(err)
	}
	g := NewGuard(func(string) {})
	g.Require(parsed)
	return g
}

// Whoever guesses waits longer each time, on all consoles together.
func TestGuessing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := guard(t)
		for i, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
			start := time.Now()
			if g.right(t.Context(), []byte("guess")) {
				t.Fatal("a wrong password is right")
			}
			if took := time.Since(start); took != want {
				t.Errorf("guess %d took %v, want %v", i, took, want)
			}
		}
		for range 20 {
			g.right(t.Context(), nil)
		}
		start := time.Now()
		if !g.right(t.Context(), []byte("zerodisc")) || time.Since(start) != 0 {
			t.Error("the right password is wrong, or waits")
		}
		g.right(t.Context(), []byte("guess"))
		if took := time.Since(start); took != time.Second {
			t.Errorf("after the right password a guess takes %v", took)
		}
	})
}

func TestOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := guard(t)
		if g.Open() {
			t.Error("open from the first")
		}
		g.Stay()
		time.Sleep(awake - time.Second)
		if !g.Open() {
			t.Error("shut too soon")
		}
		g.Stay()
		time.Sleep(awake + time.Second)
		if g.Open() {
			t.Error("open although nobody has pressed a key")
		}
		g.Stay()
		g.Shut()
		if g.Open() {
			t.Error("open after it was shut")
		}
	})
}

func TestNoPassword(t *testing.T) {
	var g *Guard
	g.Stay()
	g.Shut()
	if err := g.Ask(t.Context(), "no such terminal"); err != nil || !g.Open() {
		t.Errorf("without a password: %v", err)
	}
}

// Before it is known whether there is a password nobody gets in, and whoever waits for it gets in when there is none.
func TestTooEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(func(string) {})
		asked := make(chan error, 1)
		go func() { asked <- g.Ask(t.Context(), "no such terminal") }()
		synctest.Wait()
		if len(asked) > 0 || g.Open() {
			t.Error("open too early")
		}
		g.Waive()
		if err := <-asked; err != nil || !g.Open() {
			t.Errorf("without a password: %v", err)
		}
		g.Require(passwd.Hash{}) // the configuration of a URL has come
		if g.Open() {
			t.Error("open although there is a password now")
		}
	})
}

// A hash that could not be read leaves the consoles closed.
func TestUnusableHash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(func(string) {})
		g.Require(passwd.Hash{})
		if g.right(t.Context(), nil) || g.right(t.Context(), []byte("x")) || g.Open() {
			t.Error("open")
		}
	})
}

// terminal returns the keyboard and screen of a pseudo-terminal, and the name of its device below /dev.
func terminal(t *testing.T) (*os.File, string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	var number int
	err = control(master, func(fd int) {
		_ = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
		number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
	})
	name := fmt.Sprintf("pts/%d", number)
	if _, statErr := os.Stat("/dev/" + name); err != nil || statErr != nil {
		t.Skipf("no pseudo-terminals here: %v, %v", err, statErr)
	}
	return master, name
}

func TestAskOnce(t *testing.T) {
	keyboard, name := terminal(t)
	g := guard(t)
	screen := bufio.NewReader(keyboard)
	answer := func(text string) {
		if _, err := screen.ReadString(':'); err != nil { // zerodisc:
			t.Error(err)
		}
		if _, err := screen.ReadString(':'); err != nil { // password for root:
			t.Error(err)
		}
		if _, err := keyboard.WriteString(text); err != nil {
			t.Error(err)
		}
	}
	go answer("zerodisc\r")
	if right, err := g.AskOnce(t.Context(), name); !right || err != nil {
		t.Errorf("the right password: %v, %v", right, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if right, err := g.AskOnce(ctx, name); right || err != nil {
		t.Errorf("no answer: %v, %v", right, err)
	}
	shown, err := screen.ReadString(':')
	if err != nil || strings.Contains(shown, "disc\r\n") {
		t.Errorf("the password is shown: %q, %v", shown, err)
	}
}

// asked has a password asked for on a terminal until ask's end, which says how many wrong ones there were.
func asked(t *testing.T, name string) (g *Guard, end func() (wrong int)) {
	t.Helper()
	g = guard(t)
	wrong := make(chan string, 10)
	g.wrong = func(terminal string) { wrong <- terminal }
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	opened := make(chan error, 1)
	go func() { opened <- g.Ask(ctx, name) }()
	return g, func() int {
		select {
		case err := <-opened:
			if err != nil {
				t.Errorf("Ask = %v", err)
			}
		case <-ctx.Done():
			t.Error("Ask does not end")
		}
		return len(wrong)
	}
}

// prompt reads the screen up to the next question.
func prompt(t *testing.T, screen *bufio.Reader) string {
	t.Helper()
	var shown strings.Builder
	for range 2 { // zerodisc: password for root:
		part, err := screen.ReadString(':')
		shown.WriteString(part)
		if err != nil {
			t.Errorf("%v after %q", err, shown.String())
		}
	}
	return shown.String()
}

// An empty line, that of somebody who wants to see whether the console lives, is no guess: there is no pause, and
// what follows is read.
func TestEmptyLine(t *testing.T) {
	keyboard, name := terminal(t)
	_, end := asked(t, name)
	screen := bufio.NewReader(keyboard)
	prompt(t, screen)
	if _, err := keyboard.WriteString("\r\rzerodisc\r"); err != nil {
		t.Fatal(err)
	}
	prompt(t, screen)
	prompt(t, screen)
	if wrong := end(); wrong != 0 {
		t.Errorf("%d wrong passwords", wrong)
	}
}

// What is typed in the pause after a wrong password is neither shown nor read.
func TestPause(t *testing.T) {
	keyboard, name := terminal(t)
	g, end := asked(t, name)
	screen := bufio.NewReader(keyboard)
	prompt(t, screen)
	if _, err := keyboard.WriteString("guess\r"); err != nil {
		t.Fatal(err)
	}
	for paused := false; !paused; time.Sleep(time.Millisecond) {
		g.mu.Lock()
		paused = g.failed == 1
		g.mu.Unlock()
	}
	if _, err := keyboard.WriteString("too early"); err != nil {
		t.Fatal(err)
	}
	shown := prompt(t, screen)
	if strings.Contains(shown, "early") || !strings.Contains(shown, "That is not the password.") {
		t.Errorf("the screen shows %q", shown)
	}
	if _, err := keyboard.WriteString("zerodisc\r"); err != nil {
		t.Fatal(err)
	}
	if wrong := end(); wrong != 1 {
		t.Errorf("%d wrong passwords", wrong)
	}
}
