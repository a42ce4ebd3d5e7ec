package tick

import (
	"testing"
	"time"
)

func TestUntil(t *testing.T) {
	const every = 10 * time.Second
	for passed, want := range map[time.Duration]time.Duration{
		0:                                every,
		3 * time.Second:                  7 * time.Second,
		every - time.Nanosecond:          time.Nanosecond,
		every:                            every,
		every + time.Millisecond:         every - time.Millisecond,
		365*24*time.Hour + 2*time.Second: 8 * time.Second,
		-3 * time.Second:                 3 * time.Second,
		-every:                           every,
	} {
		if got := until(passed, every); got != want {
			t.Errorf("after %v: %v, want %v", passed, got, want)
		}
	}
}

// Who looks every 2 s does so at the moments of those who look every 10 s, too.
func TestTogether(t *testing.T) {
	for passed := time.Duration(0); passed < time.Minute; passed += 7 * time.Millisecond {
		rare, often := passed+until(passed, 10*time.Second), passed
		for often < rare {
			often += until(often, 2*time.Second)
		}
		if often != rare {
			t.Fatalf("who begins after %v: %v and %v", passed, rare, often)
		}
	}
}
