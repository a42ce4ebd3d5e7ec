package timesync

import "time"

// action is what to do about an offset.
type action int

const (
	slew action = iota // let the kernel work it off
	step               // set the clock
	wait               // look again before the clock is set
)

// stepAbove is how much the clock may be off before it is set and no longer slewed: what the kernel takes to work off
// at most (MAXPHASE, Linux, include/linux/timex.h).
const stepAbove = 500 * time.Millisecond

// confirmWithin is how far apart two offsets are that confirm each other.
const confirmWithin = 200 * time.Millisecond

// discipline decides what becomes of the clock.
type discipline struct {
	set     bool          // the clock was right once
	suspect time.Duration // an offset that wants confirmation, 0: none
}

// decide returns what to do about an offset. The first large one is believed, a later one only when the next says the
// same: the clock was right, and something odd has happened to it, or to the servers.
func (d *discipline) decide(offset time.Duration) action {
	large := offset.Abs() > stepAbove
	confirmed := d.suspect != 0 && (offset-d.suspect).Abs() <= confirmWithin
	switch {
	case !large:
		d.set, d.suspect = true, 0
		return slew
	case d.set && !confirmed:
		d.suspect = offset
		return wait
	}
	d.set, d.suspect = true, 0
	return step
}

// Times between two questions. A server of the public pool is asked no more often than every minute.
const (
	confirmPause = 16 * time.Second
	minPoll      = 64 * time.Second
	maxPoll      = 1024 * time.Second
	minRetry     = 2 * time.Second // while none answers
	maxRetry     = 256 * time.Second
)

// steady is how little the clock is off when it is worth less attention.
const steady = 5 * time.Millisecond

// pace is how often servers are asked.
type pace struct{ poll, retry time.Duration }

// answered returns the pause after an answer.
func (p *pace) answered(offset time.Duration, did action) time.Duration {
	p.retry = 0
	switch {
	case did == wait:
		return confirmPause
	case did == step, offset.Abs() > 20*steady:
		p.poll = minPoll
	case offset.Abs() <= steady:
		p.poll = min(2*p.poll, maxPoll)
	}
	p.poll = max(p.poll, minPoll)
	return p.poll
}

// silent returns the pause after none has answered.
func (p *pace) silent() time.Duration {
	p.retry = min(max(2*p.retry, minRetry), maxRetry)
	return p.retry
}
