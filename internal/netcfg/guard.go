package netcfg

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/zerodisc/zerodisc/internal/guarded"
)

// keepGuard watches over the static addresses, as long as a NIC is in use.
func (u *uplink) keepGuard(ctx context.Context, plugged bool) {
	var addresses []netip.Prefix
	if plugged {
		addresses = u.want.statics()
	}
	if u.guard != nil && slices.Equal(addresses, u.guarded) {
		return
	}
	hangUp(&u.guard)
	u.guarded = addresses
	if len(addresses) == 0 {
		return
	}
	w := &watch{
		id:     identity{mac: u.mac(), ifname: u.ifname, port: u.nic.port},
		timing: u.m.timing, wake: make(chan struct{}, 1),
	}
	u.guard = u.start(ctx, func(ctx context.Context, report func(State)) {
		w.report = report
		w.run(ctx, addresses)
	})
	u.guard.wake = func() { notify(w.wake) }
}

// watch finds out whether other hosts have the static addresses, announces them, and defends them.
type watch struct {
	id     identity
	timing Timing
	wake   chan struct{}
	report func(State)
}

// run watches until ctx ends; when it is woken it begins anew, because the link may lead to another network now.
func (w *watch) run(ctx context.Context, addresses []netip.Prefix) {
	for ctx.Err() == nil {
		round, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		for _, prefix := range addresses {
			guarded.Go(ctx, func() {
				defer func() { done <- struct{}{} }()
				if prefix.Addr().Is4() {
					w.watch4(round, &Lease{Address: prefix})
				} else {
					w.watch6(round, prefix.Addr())
				}
			})
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
		}
		cancel()
		for range addresses {
			<-done
		}
	}
}

// watch4 says it when another host has the address. The address is used all the same: a person has given it to this
// machine, which could not be reached otherwise, and any host on the LAN could take it away (RFC 5227, section 2.4, c).
func (w *watch) watch4(ctx context.Context, lease *Lease) {
	client := &Client{options: ClientOptions{Interface: w.id.ifname, Port: w.id.port}, timing: w.timing}
	err := client.claim(ctx, w.id, lease)
	for ctx.Err() == nil {
		conflict, contended := errors.AsType[*conflictError](err)
		if contended {
			w.report(Duplicate{lease.Address.Addr(), conflict})
			rest(ctx, w.timing.DefendInterval)
		} else if err != nil {
			rest(ctx, resubscribePause) // the NIC is down, or has gone
		}
		err = client.defend(ctx, w.id, lease)
	}
}

// watch6 asks once: who comes later asks himself, and the kernel answers.
func (w *watch) watch6(ctx context.Context, address netip.Addr) {
	for ctx.Err() == nil {
		err := claim6(ctx, w.id.port, w.id.mac, address, w.timing)
		_, taken := errors.AsType[*takenError](err)
		if taken {
			w.report(Duplicate{address, err})
		}
		if err == nil || taken {
			<-ctx.Done()
			return
		}
		rest(ctx, resubscribePause) // the NIC is down, or has gone
	}
}
