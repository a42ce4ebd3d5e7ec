package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// init is started again after a while, but takes no shell away from anybody who types.
func TestMayEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		idle := func() bool { return time.Since(start) > 20*time.Minute }
		if !mayEnd(t.Context(), time.Minute, idle) || time.Since(start) > 21*time.Minute {
			t.Errorf("after %v", time.Since(start))
		}
		start = time.Now().Add(-time.Hour)
		began := time.Now()
		if !mayEnd(t.Context(), time.Minute, idle) || time.Since(began) != time.Minute {
			t.Errorf("after %v", time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if mayEnd(ctx, time.Minute, idle) {
			t.Error("somebody has asked for the end")
		}
	})
}
