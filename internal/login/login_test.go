package login

import (
	"testing"
	"testing/synctest"
	"time"

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
