package pressure

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zerodisc/zerodisc/internal/oom"
)

// machine is a kernel whose programs wait for a share of the time, in percent, from one moment to another.
type machine struct {
	start    time.Time
	from, to time.Duration
	percent  int
	swapFree uint64 // of 1000
	score    int    // of the process that has most
	found    bool
	kills    []time.Duration
	failure  error // of looks
}

func (m *machine) Wait(ctx context.Context) error {
	if since := time.Since(m.start); since < m.to {
		select {
		case <-time.After(max(0, m.from-since)):
			return nil
		case <-ctx.Done():
		}
	}
	<-ctx.Done()
	return nil
}

func (m *machine) Look() (Look, error) {
	passed := max(0, min(time.Since(m.start), m.to)-m.from)
	return Look{Waited: passed * time.Duration(m.percent) / 100, Swap: 1000, SwapFree: m.swapFree}, m.failure
}

func (m *machine) Find() error {
	m.found = true
	return nil
}

func (m *machine) Score() int {
	if !m.found {
		return 0
	}
	return m.score
}

// Kill ends what has most. With it the stall ends.
func (m *machine) Kill() error {
	now := time.Since(m.start)
	m.kills = append(m.kills, now)
	m.to = min(m.to, now)
	return nil
}

func TestRun(t *testing.T) {
	const ms = time.Millisecond
	glutton, large, small := oom.Score(oom.Person, 420), oom.Score(oom.Person, 200), oom.Score(oom.Person, 60)
	for name, test := range map[string]struct {
		machine
		after time.Duration // how long the stall lasts before a process is ended; 0: none is
	}{
		"glutton, and swap space runs out": {machine{percent: 50, swapFree: 249, score: glutton}, lookEvery},
		"glutton, data like noise":         {machine{percent: 100, swapFree: 700, score: glutton}, 2700 * ms},
		"glutton, and others get on":       {machine{percent: 50, swapFree: 700, score: glutton}, 8 * time.Second},
		"it gets on":                       {machine{percent: 20, swapFree: 700, score: glutton}, 0},
		"it is over soon":                  {machine{to: 2000 * ms, percent: 90, swapFree: 700, score: glutton}, 0},
		"a fifth of memory, for long":      {machine{percent: 100, swapFree: 0, score: large}, 13500 * ms},
		"a fifth of memory, for 12 s":      {machine{to: 12 * time.Second, percent: 100, score: large}, 0},
		"many small ones":                  {machine{percent: 100, score: small}, 0},
		"xl makes a guest":                 {machine{percent: 100, score: oom.Score(oom.Usual, 300)}, 0},
		"the host's own runs away":         {machine{percent: 100, score: oom.Score(oom.Usual, 700)}, lookEvery},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Hour)
				defer cancel()
				m := test.machine
				m.start, m.from = time.Now(), time.Hour
				m.to += m.from
				if m.to == m.from {
					m.to = 2 * time.Hour
				}
				if err := Run(ctx, &m); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Run = %v", err)
				}
				if test.after == 0 {
					if len(m.kills) > 0 {
						t.Errorf("processes are ended after %v", m.kills)
					}
				} else if want := m.from + test.after; len(m.kills) != 1 || (m.kills[0]-want).Abs() > 5*lookEvery {
					t.Errorf("processes are ended after %v, want %v", m.kills, want)
				}
			})
		})
	}
}

// A kernel that cannot be read is a failure, and no busy loop.
func TestRunFails(t *testing.T) {
	broken := errors.New("broken")
	if err := Run(t.Context(), &machine{start: time.Now(), to: time.Hour, failure: broken}); err != broken {
		t.Errorf("Run = %v", err)
	}
}
