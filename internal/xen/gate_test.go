package xen

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// enters begins as Exec does.
func enters(t *testing.T, g *Gate) {
	t.Helper()
	if err := g.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Gate
		enters(t, &g)
		ended := false
		time.AfterFunc(time.Second, func() { ended = true; g.leave() })
		alone := false
		err := g.Alone(t.Context(), time.Minute, time.Minute, func() error { alone = ended; return nil })
		if err != nil || !alone {
			t.Errorf("alone %v, %v", alone, err)
		}
	})
	var g Gate
	if out, _, err := g.Exec(t.Context(), "/bin/echo", "x"); err != nil || string(out) != "x\n" {
		t.Errorf("%q, %v", out, err)
	}
}

// A host that makes guest after guest is never without xl. Then those that come wait until the clock is set.
func TestBusyHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Gate
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var held atomic.Int64   // the longest wait of a program, ns
		for worker := range 2 { // their programs overlap
			go func() {
				time.Sleep(time.Duration(worker) * 4 * time.Second)
				for ctx.Err() == nil {
					came := time.Now()
					if g.enter(ctx) != nil {
						return
					}
					held.Store(max(held.Load(), int64(time.Since(came))))
					time.Sleep(8 * time.Second)
					g.leave()
				}
			}()
		}
		time.Sleep(5 * time.Second)
		running := -1
		began := time.Now()
		err := g.Alone(ctx, time.Minute, 10*time.Second, func() error { running = g.running; return nil })
		if err != nil {
			t.Error(err)
		}
		if running != 0 {
			t.Errorf("the clock is set while %d programs run", running)
		}
		if took := time.Since(began); took < time.Minute || took > 70*time.Second {
			t.Errorf("it took %v", took)
		}
		time.Sleep(20 * time.Second)
		if longest := time.Duration(held.Load()); longest == 0 || longest > 10*time.Second {
			t.Errorf("a program was held up for %v", longest)
		}
		cancel()
		time.Sleep(20 * time.Second)
	})
}

func TestHungProgramKeepsNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Gate
		enters(t, &g)
		called := false
		err := g.Alone(t.Context(), time.Minute, time.Second, func() error { called = true; return nil })
		if err != nil || !called {
			t.Errorf("called %v, %v", called, err)
		}
		enters(t, &g) // it is open again
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err = g.Alone(ctx, time.Minute, time.Minute, func() error { return nil })
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		g.close()
		if err := g.enter(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		g.open()
	})
}

func TestClockMoved(t *testing.T) {
	for _, test := range []struct {
		wall, took time.Duration
		want       bool
	}{
		{3 * time.Second, 3 * time.Second, false}, {3100 * time.Millisecond, 3 * time.Second, false},
		{365 * 24 * time.Hour, 3 * time.Second, true}, {-24 * time.Hour, 3 * time.Second, true},
	} {
		if got := moved(test.wall, test.took); got != test.want {
			t.Errorf("moved(%v, %v) = %v", test.wall, test.took, got)
		}
	}
}
