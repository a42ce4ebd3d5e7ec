package xen

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Gate lets xl run, but not while the clock is set: libxl counts its timeouts by the time of day
// (libxl__gettimeofday, tools/libs/light/libxl_event.c), and a clock that is set forward by a year would end all of
// them at once. The zero value is ready.
type Gate struct {
	mu      sync.Mutex // guards what follows
	running int        // programs
	closed  int        // how many want to be alone, and let nobody in any more
	opened  chan struct{}
}

// ErrClockSet is the failure of a program in whose time somebody has set the clock: what it says of timeouts means
// nothing, and it may be run again.
var ErrClockSet = errors.New("the clock was set meanwhile")

// clockSlack is more than what a clock is corrected by without being set.
const clockSlack = time.Second

// Exec is Exec, through the gate.
func (g *Gate) Exec(ctx context.Context, program string, args ...string) ([]byte, []byte, error) {
	if err := g.enter(ctx); err != nil {
		return nil, nil, err
	}
	defer g.leave()
	began := time.Now()
	stdout, stderr, err := Exec(ctx, program, args...)
	ended := time.Now()
	if err != nil && moved(ended.Round(0).Sub(began.Round(0)), ended.Sub(began)) {
		err = fmt.Errorf("%w: %w", ErrClockSet, err)
	}
	return stdout, stderr, err
}

// moved says whether somebody has set the clock in a time that it shows as wall, and that took so long.
func moved(wall, took time.Duration) bool { return (wall - took).Abs() > clockSlack }

// enter waits until the gate is open.
func (g *Gate) enter(ctx context.Context) error {
	for {
		g.mu.Lock()
		if g.closed == 0 {
			g.running++
			g.mu.Unlock()
			return nil
		}
		opened := g.opened
		g.mu.Unlock()
		select {
		case <-opened:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (g *Gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
}

// gatePause is the time between two looks whether xl runs.
const gatePause = 50 * time.Millisecond

// Alone calls f while no xl runs. Within patience it waits for such a moment and holds nobody up. A host that makes one
// guest after the other has none: then no other xl is let in for as long as hold, until those that run have ended.
// After that f is called all the same, since a hung xl must not keep the clock wrong; what fails of it is ErrClockSet.
func (g *Gate) Alone(ctx context.Context, patience, hold time.Duration, f func() error) error {
	if done, err := g.await(ctx, patience, f); done {
		return err
	}
	g.close()
	defer g.open()
	if done, err := g.await(ctx, hold, f); done {
		return err
	}
	return f()
}

// await calls f at a moment at which no xl runs, and says whether there was one before limit. It is done when ctx ends.
func (g *Gate) await(ctx context.Context, limit time.Duration, f func() error) (done bool, err error) {
	for end := time.Now().Add(limit); ; {
		if ctx.Err() != nil {
			return true, ctx.Err()
		}
		if called, err := g.try(f); called {
			return true, err
		}
		if !time.Now().Before(end) {
			return false, nil
		}
		select {
		case <-time.After(gatePause):
		case <-ctx.Done():
		}
	}
}

// try calls f if no xl runs; none begins meanwhile.
func (g *Gate) try(f func() error) (called bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running > 0 {
		return false, nil
	}
	return true, f()
}

func (g *Gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed++; g.closed == 1 {
		g.opened = make(chan struct{})
	}
}

func (g *Gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed--; g.closed == 0 {
		close(g.opened)
	}
}
