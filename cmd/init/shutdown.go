package main

import (
	"context"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/xen"
)

const (
	guestDeadline = 60 * time.Second // for guests to shut down before they are destroyed
	// A second request counts only after this: a Ctrl-Alt-Del that is held down repeats itself, and
	// some machines report one press of the power button twice.
	repeatAfter = 2 * time.Second
)

// shutdown ends the guests. A second request ends the waiting.
func (s *system) shutdown(domains *xen.Domains) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go s.awaitSecondRequest(ctx, cancel)
	err := domains.ShutdownAll(ctx, guestDeadline, func(e xen.Ended) {
		s.log.Info(boot.MsgGuestStopped, "guest", e.Domain.Name, "domid", e.Domain.ID, "forced", e.Forced)
	})
	if err != nil {
		s.log.Error("guests", "err", err)
	}
}

func (s *system) awaitSecondRequest(ctx context.Context, force func()) {
	first := time.Now()
	for {
		select {
		case <-s.requests:
			if time.Since(first) < repeatAfter {
				continue
			}
			s.log.Warn("asked again: guests are destroyed")
			force()
		case <-ctx.Done():
		}
		return
	}
}
