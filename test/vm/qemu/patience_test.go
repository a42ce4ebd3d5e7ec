package qemu

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestPatience(t *testing.T) {
	const limit = 30 * time.Millisecond
	for name, test := range map[string]struct {
		waited time.Duration // for a processor, in all
		least  time.Duration
	}{
		"quiet host": {0, limit},
		"busy host":  {50 * time.Millisecond, limit + 50*time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			started, calls := time.Now(), 0
			endAfter(ctx, cancel, limit, func() time.Duration {
				if calls++; calls == 1 {
					return time.Hour // before the wait
				}
				return time.Hour + test.waited
			})
			if took := time.Since(started); took < test.least || ctx.Err() == nil {
				t.Errorf("ended after %v, want %v at least", took, test.least)
			}
		})
	}
}

// TestPatienceEnds checks that what is over is not waited for.
func TestPatienceEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	endAfter(ctx, func() { t.Error("the end came twice") }, time.Hour, func() time.Duration { return 0 })
}

func TestWaitedForCPU(t *testing.T) {
	dir := t.TempDir()
	for thread, text := range map[string]string{"10": "5000 300 2\n", "11": "7 40 1\n", "12": "garbage\n"} {
		if err := os.Mkdir(filepath.Join(dir, thread), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, thread, "schedstat"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := waitedForCPU(dir); got != 300 {
		t.Errorf("waited %v, want 300ns", got)
	}
	if got := waitedForCPU(filepath.Join(dir, "none")); got != 0 {
		t.Errorf("a process that is gone waited %v", got)
	}
}
