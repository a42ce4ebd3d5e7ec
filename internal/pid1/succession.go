package pid1

import "time"

const (
	// healthy is how long a stage2 that was started again has to run for its crash to be a fault by itself. What it
	// crashes of sooner may be what it goes on with.
	healthy = 10 * time.Minute
	// firstRest and longestRest are how long the emergency process stays before stage2 is tried again; it doubles.
	firstRest   = time.Minute
	longestRest = 16 * time.Minute
)

// succession decides who follows a stage2 that has crashed: another one that goes on with what it has left, or the
// emergency process.
type succession struct {
	resumable bool          // there is something to go on with
	resumed   bool          // the one that runs, or ran last, was started for that
	rest      time.Duration // how long the emergency process stays; 0: for good
}

// resumes says whether stage2 is started again at once, when one has crashed after it ran so long.
func (s *succession) resumes(ran time.Duration) bool {
	switch {
	case !s.resumable:
		return false
	case s.resumed && ran < healthy:
		s.rest = min(max(2*s.rest, firstRest), longestRest)
		return false
	}
	s.resumed, s.rest = true, 0
	return true
}
