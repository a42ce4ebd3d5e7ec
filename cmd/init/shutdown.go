package main

import (
	"context"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/internal/control"
	"github.com/zerodisc/zerodisc/internal/guarded"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/logs"
	"github.com/zerodisc/zerodisc/internal/pid1"
	"github.com/zerodisc/zerodisc/internal/xen"
	"github.com/zerodisc/zerodisc/internal/xenstore"
)

const (
	guestDeadline = 60 * time.Second // for guests to shut down before they are destroyed
	bootEnd       = 10 * time.Second // for a boot that is called off
	viewsEnd      = 2 * time.Second  // for who has a console for a view: lines are written then
	// A second request counts only after this: a Ctrl-Alt-Del that is held down repeats itself, and
	// some machines report one press of the power button twice.
	repeatAfter = 2 * time.Second
)

// untilAsked runs a mode's boot until somebody asks for the end, and returns how it is to end. A boot
// that is not through by then is called off; a second request ends the waiting for it.
func (s *system) untilAsked(run func(context.Context)) pid1.Action {
	ctx, cancel := context.WithCancel(guarded.With(context.Background(), s.reportPanic))
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

// reportPanic tells of a panic in what runs beside the boot and is no service.
func (s *system) reportPanic(err error, stack []byte) {
	s.log.Error("init", "err", err, "remedy", "logs -source init says what has failed; reboot the host for it")
	for line := range strings.Lines(string(stack)) {
		s.journal.Add(sourceInit, logs.Error, strings.TrimSpace(line))
	}
}

// firstRequest waits for somebody to ask for the end. All that is asked from then on is of interest only as
// a second request, which closes insisted.
func (s *system) firstRequest() pid1.Action {
	action := <-s.requests
	s.tell(host.Ending{Action: action.String()})
	time.AfterFunc(viewsEnd, s.ttys.Reclaim)
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

// dialLimit is how long xenstored has to answer.
const dialLimit = 10 * time.Second

// shutdownGuests ends the guests that are found in Xen, whoever made them. A second request ends the waiting.
func (s *system) shutdownGuests() {
	if !fileExists(xenstore.Socket) {
		return // this is no host of guests
	}
	dialing, cancel := context.WithTimeout(context.Background(), dialLimit)
	defer cancel()
	store, err := xenstore.Dial(dialing, xenstore.Socket)
	if err != nil {
		s.log.Warn("guests are not shut down", "err", err,
			"remedy", "those that still run are cut off with the machine")
		return
	}
	ctx, force := context.WithCancel(context.Background())
	defer force()
	go func() {
		select {
		case <-s.insisted:
			force()
		case <-ctx.Done():
		}
	}()
	if err := control.End(ctx, xen.NewToolstack(xen.Exec, store).Direct(), guestDeadline, s.tell); err != nil {
		s.log.Error("guests", "err", err)
	}
}
