package pressure

import "time"

// stall is for how long programs wait for memory.
type stall struct {
	// length is the sum of what they have waited, less a quarter of the time since it began. Programs that swap, and
	// get on, wait up to half of the time.
	length time.Duration

	last Look
	at   time.Time // of that
}

// add takes a look that was taken now.
func (s *stall) add(look Look, now time.Time) {
	if !s.at.IsZero() {
		s.length = max(0, s.length+look.Waited-s.last.Waited-now.Sub(s.at)/4)
	}
	s.last, s.at = look, now
}

// limit is the share of memory and swap space, in thousandths, that a person's program may not have in such a stall; 0:
// any. What comes after the last quarter of swap space is the thrashing itself. Data that cannot be compressed takes as
// much memory as before, and never fills it. Many processes that are smaller are left to the kernel.
func (s *stall) limit() (share int) {
	const glutton, large = 300, 150
	switch {
	case s.length >= 10*time.Second:
		return large
	case s.length >= 2*time.Second, s.length > 0 && s.last.SwapFree < s.last.Swap/4:
		return glutton
	}
	return 0
}
