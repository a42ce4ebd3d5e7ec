// Package timesync sets the clock by time servers (NTP, RFC 5905; github.com/beevik/ntp has the protocol). A clock
// that is off by years is set at once, a small error is worked off by the kernel, and a server that is wrong by itself
// moves nothing. The hardware's clock is not written: nothing on this machine is, unless its user asks for it.
package timesync

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Sample is what one server says.
type Sample struct {
	Server   string
	Offset   time.Duration // to add to this machine's clock
	Distance time.Duration // the most that Offset can be wrong by, if the server is right (RFC 5905, root distance)
}

// ErrDisagree is the failure of a majority.
var ErrDisagree = errors.New("time servers disagree")

// minDistance is added to every distance: scheduling on a busy host, and what a clock drifts between two answers.
const minDistance = 10 * time.Millisecond

// Choose returns the best of the samples that a majority agrees with: whose times overlap, as far as each can be wrong
// (the intersection of Marzullo's algorithm, RFC 5905, section 11.2.1). A server that is alone is believed; of two
// that disagree, neither is.
func Choose(samples []Sample) (Sample, error) {
	if len(samples) == 0 {
		return Sample{}, errors.New("no time server answers")
	}
	best := agreeing(samples)
	if 2*len(best) <= len(samples) {
		return Sample{}, fmt.Errorf("%w: %s", ErrDisagree, describe(samples))
	}
	return slices.MinFunc(best, func(a, b Sample) int { return cmp.Compare(a.Distance, b.Distance) }), nil
}

// agreeing returns the largest set of samples that have a moment in common. Such a moment is where one of them begins.
func agreeing(samples []Sample) []Sample {
	var best []Sample
	for _, s := range samples {
		moment := s.Offset - s.Distance - minDistance
		var set []Sample
		for _, other := range samples {
			d := other.Distance + minDistance
			if other.Offset-d <= moment && moment <= other.Offset+d {
				set = append(set, other)
			}
		}
		if len(set) > len(best) {
			best = set
		}
	}
	return best
}

// maxDescribed is how many servers a failure names.
const maxDescribed = 4

func describe(samples []Sample) string {
	text := ""
	for i, s := range samples[:min(len(samples), maxDescribed)] {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%s says %v", s.Server, s.Offset.Round(time.Millisecond))
	}
	return text
}
