package netcfg

import (
	"context"

	"github.com/zerodisc/zerodisc/internal/guarded"
)

// session is something that runs for one interface beside the manager: a DHCP client, questions to a NIC.
type session struct {
	cancel context.CancelFunc
	done   chan struct{}
	ended  bool // what it has reported since does not count
	wake   func()
}

// report is what a session of an interface says.
type report struct {
	uplink *uplink
	from   *session
	state  State
}

// start starts run, which reports by the function it is given, waits for that to return, and ends with its context.
func (u *uplink) start(ctx context.Context, run func(ctx context.Context, report func(State))) *session {
	ctx, cancel := context.WithCancel(ctx)
	s := &session{cancel: cancel, done: make(chan struct{}), wake: func() {}}
	guarded.Go(ctx, func() {
		defer close(s.done)
		run(ctx, func(state State) {
			select {
			case u.m.reports <- report{u, s, state}:
			case <-ctx.Done():
			}
		})
	})
	return s
}

// hangUp ends a session, if any, and waits until it is gone.
func hangUp(s **session) {
	if *s == nil {
		return
	}
	(*s).cancel()
	<-(*s).done
	(*s).ended = true
	*s = nil
}

// wake wakes a session, if any.
func wake(s *session) {
	if s != nil {
		s.wake()
	}
}
