package guestconsole

import (
	"testing"
	"time"
)

func TestFloodIsNoticed(t *testing.T) {
	var f flood
	now := time.Unix(0, 0)
	say := func(after time.Duration, n int, want bool) {
		t.Helper()
		now = now.Add(after)
		if got := f.note(n, now); got != want {
			t.Errorf("%d bytes at %v: %v", n, now.Unix(), got)
		}
	}
	for range 20 { // slow
		say(time.Second, floodBytes/20, false)
	}
	say(time.Hour, floodBytes-1, false)
	say(time.Second, 1, true)
	say(time.Second, floodBytes, false) // it was said
	say(floodPause, floodBytes, true)
	say(floodPause, 1, false)
}
