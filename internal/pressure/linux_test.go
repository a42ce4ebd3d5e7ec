package pressure

import (
	"context"
	"testing"
	"time"
)

func TestParseWaited(t *testing.T) {
	const full = "full avg10=0.00 avg60=0.00 avg300=0.00 total=9"
	for text, want := range map[string]time.Duration{
		"some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\n" + full: 1500 * time.Millisecond,
		"some avg10=99.00 avg60=0.10 avg300=0.00 total=0\n":             0,
		full:                   -1,
		"some avg10=0.00\n":    -1,
		"some avg10=0 total=x": -1,
		"":                     -1,
	} {
		got, err := parseWaited(text)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
}

// Whoever waits for the kernel's sign is told of the end.
func TestWaitEnds(t *testing.T) {
	l, err := Open()
	if err != nil {
		t.Skip(err) // no root, or no such kernel
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	if err := l.Wait(ctx); err != nil {
		t.Errorf("Wait = %v", err)
	}
	if look, err := l.Look(); err != nil || look.SwapFree > look.Swap {
		t.Errorf("Look = %v, %v", look, err)
	}
}
