// Package tick has those who look at something again and again do so at the same moments. To wake a process that sleeps
// costs more than most looks do.
package tick

import "time"

// start is when the process began, more or less: where the grid of moments begins.
var start = time.Now()

// After returns a channel that has an element at the next moment for those who look with that period. The first may be
// near; from then on they come with the period.
func After(every time.Duration) <-chan time.Time { return time.After(Until(every)) }

// Until is how long it is to that moment.
func Until(every time.Duration) time.Duration { return until(time.Since(start), every) }

// until is how long it is to the next moment when so much time has passed since start, less than none on the clock of a
// test.
func until(passed, every time.Duration) time.Duration { return every - (passed%every+every)%every }
