package xen

import (
	"context"
	"sync"
	"time"
)

// Gate lets xl run, but not while the clock is set: libxl counts its timeouts by the time of day
// (libxl__gettimeofday, tools/libs/light/libxl_event.c), and a clock that is set forward by a year would end all of
// them at once. The zero value is ready.
type Gate struct{ running sync.RWMutex }

// Exec is Exec, through the gate.
func (g *Gate) Exec(ctx context.Context, program string, args ...string) ([]byte, []byte, error) {
	g.running.RLock()
	defer g.running.RUnlock()
	return Exec(ctx, program, args...)
}

// gatePause is the time between two looks whether xl runs.
const gatePause = 50 * time.Millisecond

// Alone calls f while no xl runs, or when there was no such moment within patience: a hung xl must not keep the clock
// wrong. Whoever waits holds nobody up.
func (g *Gate) Alone(ctx context.Context, patience time.Duration, f func() error) error {
	for end := time.Now().Add(patience); time.Now().Before(end) && ctx.Err() == nil; {
		if g.running.TryLock() {
			defer g.running.Unlock()
			return f()
		}
		select {
		case <-time.After(gatePause):
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return f()
}
