package netcfg

import (
	"math"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Forever is the length of a lease that never ends (RFC 2131, section 3.3: 0xffffffff seconds).
const Forever time.Duration = math.MaxInt64

// missingLength is taken for the lease of a server that does not say how long it is. RFC 2131
// forbids that; an hour keeps the address usable and lets the server correct itself.
const missingLength = time.Hour

// minRetransmit is the pause between two requests that RFC 2131, section 4.4.5, asks for at
// least, unless a quarter of the phase is shorter: a lease of a few minutes would otherwise
// hang on a single packet.
const minRetransmit = 60 * time.Second

// Times are the moments of a lease, counted from its start (RFC 2131, section 4.4.5). Always
// 0 < T1 < T2 < Length, or all of them Forever.
type Times struct {
	Start  time.Time     // when the ACK arrived
	T1     time.Duration // from here on its server is asked to renew it
	T2     time.Duration // from here on any server is asked
	Length time.Duration // from here on the address must not be used
	Floor  time.Duration // shortest pause between two requests
}

// Phase is a state of RFC 2131, figure 5, in which a client holds or held an address.
type Phase int

// The phases of a lease, in their order.
const (
	PhaseBound     Phase = iota // nothing to do
	PhaseRenewing               // unicast requests to the server
	PhaseRebinding              // broadcast requests
	PhaseExpired                // the address is to be removed, and discovery begins again
)

var phaseNames = [...]string{"bound", "renewing", "rebinding", "expired"}

func (p Phase) String() string { return phaseNames[p] }

// Step says what a client does now and when it has to look again.
type Step struct {
	Phase Phase
	Wait  time.Duration // bound: until T1; renewing, rebinding: for the answer to a request sent now
}

// At returns the step that is due at now.
func (t Times) At(now time.Time) Step {
	if t.Length == Forever {
		return Step{PhaseBound, Forever}
	}
	switch age := now.Sub(t.Start); {
	case age < t.T1:
		return Step{PhaseBound, t.T1 - age}
	case age < t.T2:
		return Step{PhaseRenewing, t.pause(age, t.T1, t.T2)}
	case age < t.Length:
		return Step{PhaseRebinding, t.pause(age, t.T2, t.Length)}
	default:
		return Step{PhaseExpired, 0}
	}
}

// Left returns how much of the lease is left at now, Forever for one without end.
func (t Times) Left(now time.Time) time.Duration {
	if t.Length == Forever {
		return Forever
	}
	return max(0, t.Length-now.Sub(t.Start))
}

// pause is half of what is left of the phase, but not so short that requests come in a burst,
// and never beyond the phase's end.
func (t Times) pause(age, begin, end time.Duration) time.Duration {
	least := max(t.Floor, min(minRetransmit, (end-begin)/4))
	return min(max((end-age)/2, least), end-age)
}

// leaseTimes reads options 51, 58 and 59.
func leaseTimes(message *dhcpv4.DHCPv4, start time.Time, floor time.Duration) Times {
	times := normalTimes(
		message.IPAddressRenewalTime(0),
		message.IPAddressRebindingTime(0),
		message.IPAddressLeaseTime(missingLength), floor)
	times.Start, times.Floor = start, floor
	return times
}

// normalTimes fills in what a server left out (T1 half, T2 seven eighths of the lease) and
// replaces what contradicts itself. A lease is taken to last two floors at least, and T1 one:
// a server that gives seconds is misconfigured and must not be asked in a tight loop.
func normalTimes(t1, t2, length, floor time.Duration) Times {
	const infinite = math.MaxUint32 * time.Second
	if length >= infinite {
		return Times{T1: Forever, T2: Forever, Length: Forever}
	}
	length = max(length, 2*floor)
	if t1 <= 0 || t1 >= length {
		t1 = length / 2
	}
	t1 = max(t1, floor)
	if t2 <= t1 || t2 >= length {
		t2 = t1 + (length-t1)*3/4
	}
	return Times{T1: t1, T2: t2, Length: length}
}

// backoff returns how long to wait for an answer to the DISCOVER number attempt (from 0):
// first, doubled each time up to maxWait, spread by a quarter or a second at most to either side
// (RFC 2131, section 4.1), so that machines that were powered on together drift apart. random
// is in [0, 1).
func backoff(attempt int, first, maxWait time.Duration, random float64) time.Duration {
	wait := maxWait
	if attempt < 16 { // beyond that the shift may overflow, and maxWait is reached
		wait = min(first<<attempt, maxWait)
	}
	spread := min(wait/4, time.Second)
	return wait + time.Duration((2*random-1)*float64(spread))
}
