package supervise

import "time"

// history decides whether and when a daemon is started again.
type history struct {
	limit    int           // restarts within window, or Forever
	window   time.Duration // also how long a run must last to count as a success
	min, max time.Duration // of the pause
	pause    time.Duration // the latest one
	restarts []time.Time
	quick    int // deaths in a row before window was over
}

// next records that a process died at now after a run of that length. It returns the pause before
// the next start, or 0 when the limit is reached.
func (h *history) next(now time.Time, ran time.Duration) time.Duration {
	for len(h.restarts) > 0 && now.Sub(h.restarts[0]) > h.window {
		h.restarts = h.restarts[1:]
	}
	if h.limit != Forever && len(h.restarts) >= h.limit {
		return 0
	}
	h.restarts = append(h.restarts, now)
	if h.quick++; ran >= h.window {
		h.quick = 1
	}
	if h.pause == 0 || ran >= h.window {
		h.pause = h.min
	} else {
		h.pause = min(2*h.pause, h.max)
	}
	return h.pause
}
