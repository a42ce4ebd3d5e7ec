package main

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zerodisc/zerodisc/internal/console"
	"github.com/zerodisc/zerodisc/internal/pid1"
)

// askedAt is a system that gets requests at these times, counted from now on.
func askedAt(t *testing.T, times ...time.Duration) *system {
	s := &system{
		log: slog.New(slog.NewTextHandler(&bytes.Buffer{}, nil)), ttys: console.New(),
		requests: make(chan pid1.Action, 8),
	}
	s.startLines(t.Context(), "test")
	for _, at := range times {
		time.AfterFunc(at, func() { s.requests <- pid1.PowerOff })
	}
	return s
}

func TestSecondRequest(t *testing.T) {
	for name, test := range map[string]struct {
		bootHangs time.Duration
		times     []time.Duration
		called    time.Duration // when untilAsked returns
		insisted  time.Duration // 0: never
	}{
		"one":                    {0, []time.Duration{0}, 0, 0},
		"held down":              {0, []time.Duration{0, time.Second, 1900 * time.Millisecond}, 0, 0},
		"while guests shut down": {0, []time.Duration{0, 20 * time.Second, time.Minute}, 0, 20 * time.Second},
		"while a boot is called off": {
			8 * time.Second, []time.Duration{0, 3 * time.Second}, 3 * time.Second, 3 * time.Second,
		},
		"held down at a boot called off": {8 * time.Second, []time.Duration{0, time.Second}, 8 * time.Second, 0},
		"boot that does not end":         {time.Hour, []time.Duration{0}, bootEnd, 0},
		"after a boot that does not end": {time.Hour, []time.Duration{0, 11 * time.Second}, bootEnd, 11 * time.Second},
		"more often than requests has room": {
			0, []time.Duration{0, 3e9, 4e9, 4e9, 4e9, 4e9, 4e9, 4e9, 4e9, 4e9, 4e9, 4e9, 4e9}, 0, 3 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, start := askedAt(t, test.times...), time.Now()
				action := s.untilAsked(func(context.Context) { time.Sleep(test.bootHangs) })
				if called := time.Since(start); action != pid1.PowerOff || called != test.called {
					t.Errorf("%v after %v, want it after %v", action, called, test.called)
				}
				select {
				case <-s.insisted:
					if at := time.Since(start); at != test.insisted {
						t.Errorf("second request after %v, want %v", at, test.insisted)
					}
				case <-time.After(time.Minute):
					if test.insisted != 0 {
						t.Error("the second request was lost")
					}
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				if n := len(s.requests); n > 0 {
					t.Errorf("%d requests wait for a reader", n)
				}
				close(s.requests)
			})
		})
	}
}
