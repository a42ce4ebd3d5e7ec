package xen

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestGate(t *testing.T) {
	var g Gate
	started, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		g.running.RLock() // as Exec does
		close(started)
		time.Sleep(50 * time.Millisecond)
		g.running.RUnlock()
	}()
	<-started
	alone := false
	if err := g.Alone(t.Context(), time.Minute, func() error {
		select {
		case <-ended:
			alone = true
		case <-time.After(time.Second): // the lock is given back before ended is closed
		}
		return nil
	}); err != nil || !alone {
		t.Errorf("alone %v, %v", alone, err)
	}
	if out, _, err := g.Exec(t.Context(), "/bin/echo", "x"); err != nil || string(out) != "x\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestHungProgramKeepsNobodyOut(t *testing.T) {
	var g Gate
	g.running.RLock()
	defer g.running.RUnlock()
	called := false
	err := g.Alone(t.Context(), 10*time.Millisecond, func() error { called = true; return nil })
	if err != nil || !called {
		t.Errorf("called %v, %v", called, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Alone(ctx, time.Minute, func() error { return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
