// Package login asks for the root password on the machine's own consoles, where one was set.
package login

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/zerodisc/zerodisc/internal/passwd"
)

// How long one waits after a wrong password: firstPause, and twice as long each time, up to longestPause.
const (
	firstPause   = time.Second
	longestPause = 30 * time.Second
)

// awake is how long consoles that share one login stay open after the last key.
const awake = 5 * time.Minute

// Guard guards consoles by a password. All consoles have one guard, so that who guesses gains nothing from another
// console. They are shut until it is known whether there is a password. A nil Guard guards nothing.
type Guard struct {
	// wrong is called after each wrong password, with the terminal.
	wrong  func(terminal string)
	asking chan struct{} // one element: held while a password is checked, and for the pause after it
	known  chan struct{} // closed once it is known whether there is a password

	mu     sync.Mutex
	hash   passwd.Hash
	waived bool      // there is none
	failed int       // wrong passwords since the last right one
	until  time.Time // the board and the guests' consoles are open
}

// NewGuard returns a Guard that does not know yet whether there is a password. wrong is called after each wrong one.
func NewGuard(wrong func(terminal string)) *Guard {
	return &Guard{wrong: wrong, asking: make(chan struct{}, 1), known: make(chan struct{})}
}

// Require has the consoles ask for the password with that hash from now on; with the zero Hash nobody gets in.
func (g *Guard) Require(hash passwd.Hash) { g.decide(hash, false) }

// Waive opens the consoles: there is no password.
func (g *Guard) Waive() { g.decide(passwd.Hash{}, true) }

func (g *Guard) decide(hash passwd.Hash, waived bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hash, g.waived = hash, waived
	if !g.isKnown() {
		close(g.known)
	}
}

func (g *Guard) isKnown() bool {
	select {
	case <-g.known:
		return true
	default:
		return false
	}
}

func (g *Guard) isWaived() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waived
}

// Ask asks on the terminal /dev/NAME until the password is right, ctx ends, or the terminal cannot be used, whose error
// it returns.
func (g *Guard) Ask(ctx context.Context, terminal string) error {
	if g == nil {
		return nil
	}
	select {
	case <-g.known:
	case <-ctx.Done():
	}
	if ctx.Err() != nil || g.isWaived() {
		return ctx.Err()
	}
	line, err := hide(terminal)
	if err != nil {
		return err
	}
	right := false
	defer func() { line.end(right) }()
	for !right && err == nil && ctx.Err() == nil && !g.isWaived() {
		right, err = g.ask(ctx, line)
	}
	if right || err != nil {
		return err
	}
	return ctx.Err()
}

// ErrTooEarly says that it is not known yet whether there is a password.
var ErrTooEarly = errors.New("zerodisc is still starting; try again in a moment")

// AskOnce asks on a terminal once, and says whether the password was right. Without an answer it gives up at ctx's
// deadline, if that has one.
func (g *Guard) AskOnce(ctx context.Context, terminal string) (right bool, err error) {
	if !g.isKnown() {
		return false, ErrTooEarly
	}
	line, err := hide(terminal)
	if err != nil {
		return false, err
	}
	defer func() { line.end(right) }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = line.tty.SetReadDeadline(deadline) // a terminal can do that
	}
	right, err = g.ask(ctx, line)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false, nil
	}
	return right, err
}

// ask asks once. An empty line is no guess, and costs nothing: people press Return to wake a screen, or it is left over
// from an earlier line. What follows it may well be the password. What is typed in the pause after a wrong one is
// thrown away.
func (g *Guard) ask(ctx context.Context, line *hiddenLine) (right bool, err error) {
	password, err := line.read("\nzerodisc: password for root: ")
	if err != nil {
		return false, fmt.Errorf("read password on %s: %w", line.terminal, err)
	}
	if len(password) == 0 {
		return false, nil
	}
	if g.right(ctx, password) {
		return true, nil
	}
	line.flush()
	g.wrong(line.terminal)
	fmt.Fprintln(line.tty, "That is not the password.")
	return false, nil
}

// right checks a password, one at a time, and waits after a wrong one.
func (g *Guard) right(ctx context.Context, password []byte) bool {
	select {
	case g.asking <- struct{}{}:
		defer func() { <-g.asking }()
	case <-ctx.Done():
		return false
	}
	g.mu.Lock()
	hash := g.hash
	g.mu.Unlock()
	right := hash.Matches(password)
	select {
	case <-time.After(g.note(right)):
	case <-ctx.Done():
	}
	return right
}

// note counts an answer and returns the pause after it.
func (g *Guard) note(right bool) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if right {
		g.failed = 0
		return 0
	}
	g.failed++
	return min(longestPause, firstPause<<min(g.failed-1, 10))
}

// Open says whether the screen's consoles are open: there is no password, or it was given on one of them and since then
// there was no long time without a key.
func (g *Guard) Open() bool {
	if g == nil {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waived || time.Now().Before(g.until)
}

// Stay keeps the screen's consoles open, after the password was right or a key was pressed on one that is open.
func (g *Guard) Stay() {
	if g != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.until = time.Now().Add(awake)
	}
}

// Shut shuts the screen's consoles.
func (g *Guard) Shut() {
	if g != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.until = time.Time{}
	}
}
