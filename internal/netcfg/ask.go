package netcfg

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/zerodisc/zerodisc/internal/guarded"
)

// Answered is a state: behind a NIC that is not in use there is a DHCP server, or else a router.
type Answered struct {
	Index int
	DHCP  bool
}

func (Answered) isState() {}

// mayAsk says whether several NICs are in question, and can be asked at the same time. Frames of a VLAN cannot be sent
// from a NIC that has no such link.
func (u *uplink) mayAsk() bool {
	wanted := u.want.IPv4.Method == Auto || u.want.IPv6.Method == Auto
	return wanted && u.want.NIC == AutoNIC && u.want.VLAN == 0
}

// ask asks, as long as the NIC in use has brought no lease, for servers behind all others that have a carrier: on a
// machine with 40 NICs one after the other would take minutes.
func (u *uplink) ask(ctx context.Context, nics []NIC) {
	if !u.mayAsk() || u.isSettledOn(nics) {
		u.stopAsking()
		return
	}
	asked := map[int]bool{}
	for _, nic := range nics {
		if !nic.Carrier || nic.Index == u.nic.Index || len(nics) == 1 {
			continue
		}
		asked[nic.Index] = true
		if u.asking[nic.Index] == nil {
			u.asking[nic.Index] = u.startAsking(ctx, nic)
		}
	}
	for index, s := range u.asking {
		if !asked[index] {
			hangUp(&s)
			delete(u.asking, index)
		}
	}
	for _, nic := range nics {
		if !nic.Carrier {
			delete(u.answered, nic.Index)
		}
	}
}

// isSettledOn says whether no answer behind another NIC would change anything.
func (u *uplink) isSettledOn(nics []NIC) bool {
	boot := u.bootMAC(nics)
	isBoot := func(n NIC) bool { return boot != nil && slices.Equal(n.MAC, boot) }
	static := u.want.IPv4.Method == Static || u.want.IPv6.Method == Static
	served := u.held.inForce() || u.want.IPv4.Method == None && len(u.told) > 0
	return served || static || slices.ContainsFunc(nics, isBoot)
}

// stopAsking ends all questions and forgets their answers.
func (u *uplink) stopAsking() {
	for _, s := range u.asking {
		s.cancel() // all of them before the first is waited for
	}
	for _, s := range u.asking {
		hangUp(&s)
	}
	clear(u.asking)
	clear(u.answered)
}

func (u *uplink) startAsking(ctx context.Context, nic NIC) *session {
	timing := u.m.timing
	id := identity{mac: nic.MAC, hostname: u.m.options.Hostname, ifname: nic.Name, port: nic.Index}
	wants4, wants6 := u.want.IPv4.Method == Auto, u.want.IPv6.Method == Auto && hasIPv6()
	return u.start(ctx, func(ctx context.Context, report func(State)) {
		routers := make(chan struct{})
		guarded.Go(ctx, func() {
			defer close(routers)
			if wants6 {
				s := &solicitor{port: nic.Index, mac: nic.MAC, timing: timing, wake: make(chan struct{}, 1)}
				s.report = func(state State) {
					if a, ok := state.(Advertised); ok && a.Advert.Lifetime > 0 {
						report(Answered{Index: nic.Index})
					}
				}
				s.Run(ctx)
			}
		})
		if wants4 {
			askForOffer(ctx, id, timing)
			if ctx.Err() == nil {
				report(Answered{Index: nic.Index, DHCP: true})
			}
		}
		<-routers
	})
}

// askForOffer returns when a DHCP server has made an offer, or ctx ends. The offer is not taken: a REQUEST would bind
// an address that nobody needs.
func askForOffer(ctx context.Context, id identity, timing Timing) {
	search := newSearch()
	for ; ctx.Err() == nil; search.attempt++ {
		wait := backoff(search.attempt, timing.FirstWait, timing.MaxWait, rand.Float64())
		end := time.Now().Add(wait)
		if _, err := offerTo(ctx, id, search, wait); err == nil {
			return
		}
		rest(ctx, time.Until(end))
	}
}

func offerTo(ctx context.Context, id identity, search *search, wait time.Duration) (*dhcpv4.DHCPv4, error) {
	message, err := id.discover(netip.Addr{})
	if err != nil {
		return nil, err
	}
	message.TransactionID = search.xid
	message.NumSeconds = seconds(time.Since(search.began))
	return id.broadcast(ctx, message, wait, isOffer)
}
