package guestconsole

import (
	"fmt"
	"time"
)

// A console that is flooded: more than floodBytes within floodTime. A kernel that boots with all its messages says a
// quarter of it. xenconsoled passes on some 300 KiB a second of a domain at most (RATE_LIMIT_* in
// tools/console/daemon/io.c).
const (
	floodBytes = 256 << 10
	floodTime  = 10 * time.Second
	// floodPause is how long a guest may go on before that is said again.
	floodPause = 10 * time.Minute
)

// flood measures what comes from one console.
type flood struct {
	began time.Time // of the time in which bytes came
	bytes int
	told  time.Time
}

// note takes in that n bytes came. It says whether that is a flood, and one that is worth a line.
func (f *flood) note(n int, now time.Time) bool {
	if now.Sub(f.began) >= floodTime {
		f.began, f.bytes = now, 0
	}
	f.bytes += n
	if f.bytes < floodBytes || !f.told.IsZero() && now.Sub(f.told) < floodPause {
		return false
	}
	f.told = now
	return true
}

// floodProblem is what is wrong with a guest that floods its console.
var floodProblem = fmt.Sprintf("it says more than %d KiB in %.0f s", floodBytes>>10, floodTime.Seconds())
