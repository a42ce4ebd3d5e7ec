package main

import (
	"context"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/pid1"
	"github.com/zerodisc/zerodisc/internal/xen"
)

const (
	guestDeadline = 60 * time.Second // for guests to shut down before they are destroyed
	bootEnd       = 10 * time.Second // for a boot that is called off
	// A second request counts only after this: a Ctrl-Alt-Del that is held down repeats itself, and
	// some machines report one press of the power button twice.
	repeatAfter = 2 * time.Second
)

// untilAsked runs a mode's boot until somebody asks for the end, and returns how it is to end. A boot
// that is not through by then is called off; a second request ends the waiting for it.
func (s *system) untilAsked(run func(context.Context)) pid1.Action {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	booted := make(chan struct{})
	go func() {
		defer close(booted)
		run(ctx)
	}()
	action := s.firstRequest()
	cancel()
	select {
	case <-booted:
	case <-s.insisted:
	case <-time.After(bootEnd): // a damaged disc can keep a process in the kernel for minutes
	}
	return action
}

// firstRequest waits for somebody to ask for the end. All that is asked from then on is of interest only as
// a second request, which closes insisted.
func (s *system) firstRequest() pid1.Action {
	action := <-s.requests
	s.log.Info(boot.MsgEnding, "action", action.String())
	s.insisted = make(chan struct{})
	go s.awaitSecondRequest(time.Now())
	return action
}

// awaitSecondRequest reads requests as they come: how long after the first one does not depend on what the
// end of the machine is busy with.
func (s *system) awaitSecondRequest(first time.Time) {
	for range s.requests {
		if time.Since(first) >= repeatAfter {
			s.log.Warn("asked again: guests are destroyed")
			close(s.insisted)
			break
		}
	}
	for range s.requests { // whoever asks a third time does not wait for a reader
	}
}

// shutdown ends the guests. A second request ends the waiting.
func (s *system) shutdown(domains *xen.Domains) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-s.insisted:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := domains.ShutdownAll(ctx, guestDeadline, func(e xen.Ended) {
		s.log.Info(boot.MsgGuestStopped, "guest", e.Domain.Name, "domid", e.Domain.ID, "forced", e.Forced)
	})
	if err != nil {
		s.log.Error("guests", "err", err)
	}
}
