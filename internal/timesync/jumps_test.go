package timesync

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A clock that nobody sets tells nothing, and the watch ends with its context.
func TestJumps(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := Jumps(ctx, func(by time.Duration) { t.Logf("somebody has set this machine's clock by %v", by) })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
