package netcfg

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"
)

// uplink is a wanted interface as it stands. It belongs to the goroutine of the manager's Run.
type uplink struct {
	m      *Manager
	want   Interface
	metric int    // added to those of routes
	ifname string // that has the addresses; empty: there is none yet

	nics      nicList          // those that may be used
	nic       nicInUse         // leads to the servers
	resumed   bool             // it was looked for a NIC that an earlier run has left in the bridge
	unplugged time.Time        // when plugging one in last failed
	answered  map[int]bool     // NICs, by index, behind which a DHCP server was heard, or (false) a router alone
	asking    map[int]*session // the other NICs' servers for whether there are any
	patience  patience         // with the NIC in use

	dhcp, routers, dhcp6, guard *session // nil: not running
	asked6                      asks6    // what dhcp6 was started for
	guarded                     []netip.Prefix

	held    holding // the DHCPv4 lease
	adverts Routers // what routers say
	taken   []netip.Addr
	lease6  *Lease6

	applied  Config                  // what the kernel was last told to have
	refused  map[netip.Prefix]error  // addresses that it did not take
	told     map[netip.Prefix]Source // addresses, but for the lease's, that were reported
	alone    alone
	lastTold Status
}

func (m *Manager) newUplink(want Interface) *uplink {
	u := &uplink{
		m: m, want: want, ifname: want.Bridge,
		nics:     nicList{shifted: time.Now()},
		patience: patience{limit: m.timing.ServerWait},
		answered: map[int]bool{}, asking: map[int]*session{},
		refused: map[netip.Prefix]error{}, told: map[netip.Prefix]Source{},
		alone: alone{since: time.Now()},
	}
	if want.Bridge != "" {
		u.reportOnce("settle IPv6", settleIPv6(want.Bridge, want.IPv6.Method))
	}
	return u
}

func (u *uplink) reconcile(ctx context.Context) {
	nics := u.scan()
	u.noteNICs(nics)
	u.follow(nics)
	u.resume(nics)
	u.choose(ctx, nics)
	u.ask(ctx, nics)
	u.keepPlugged()
	u.keepSessions(ctx)
	u.mend()
	u.reportAbsence(nics)
	u.reportAlone()
	u.reportStatus()
}

func (u *uplink) deadlines() []time.Time {
	deadlines := []time.Time{u.settled(), u.adverts.next(u.m.looked), u.alone.due(u.m.timing), u.mayPlug()}
	if u.isSearching() {
		deadlines = append(deadlines, u.patience.due, u.patience.since.Add(u.m.timing.AnswerGrace))
	}
	if !u.nic.silent.IsZero() {
		deadlines = append(deadlines, u.nic.silent.Add(u.m.timing.CarrierGrace))
	}
	if len(u.applied.Addresses) > 0 {
		deadlines = append(deadlines, u.mayMend())
	}
	return deadlines
}

// isSearching says whether the NIC in use should have brought a lease and has not.
func (u *uplink) isSearching() bool {
	return u.dhcp != nil && u.want.IPv4.Method == Auto && !u.held.inForce()
}

// keepSessions has those sessions run that are wanted.
func (u *uplink) keepSessions(ctx context.Context) {
	plugged := u.nic.Index != 0
	u.keepDHCP(ctx, plugged && u.want.IPv4.Method == Auto)
	u.keepRouters(ctx, plugged && u.want.IPv6.Method == Auto && hasIPv6())
	u.keepGuard(ctx, plugged)
}

var errNotWanted = errors.New("the configuration does not ask for it any more")

func (u *uplink) keepDHCP(ctx context.Context, wanted bool) {
	switch {
	case !wanted:
		hangUp(&u.dhcp)
		u.dropLease(errNotWanted)
	case u.dhcp == nil:
		u.patience.searchFrom(time.Now())
		var client *Client
		ready := make(chan struct{})
		u.dhcp = u.start(ctx, func(ctx context.Context, report func(State)) {
			client = NewClient(ClientOptions{
				Interface: u.ifname, Port: u.nic.port, Hostname: u.m.options.Hostname, Timing: u.m.timing,
				Report: report,
			})
			close(ready)
			_ = client.Run(ctx)
		})
		<-ready
		u.dhcp.wake = client.Wake
	}
}

func (u *uplink) keepRouters(ctx context.Context, wanted bool) {
	if !wanted {
		if u.routers != nil {
			u.forgetRouters(errNotWanted)
		}
		return
	}
	if u.routers == nil {
		s := &solicitor{port: u.nic.port, mac: u.mac(), timing: u.m.timing, wake: make(chan struct{}, 1)}
		u.routers = u.start(ctx, func(ctx context.Context, report func(State)) {
			s.report = report
			s.Run(ctx)
		})
		u.routers.wake = s.Wake
	}
	if asks := u.adverts.dhcp6(); asks > u.asked6 {
		hangUp(&u.dhcp6)
		c := &Client6{
			port: u.nic.port, mac: u.mac(), stateful: asks == statefulDHCPv6, timing: u.m.timing,
			wake: make(chan struct{}, 1),
		}
		u.dhcp6 = u.start(ctx, func(ctx context.Context, report func(State)) {
			c.report = report
			c.Run(ctx)
		})
		u.dhcp6.wake, u.asked6 = c.Wake, asks
	}
}

// forgetRouters ends everything that routers began.
func (u *uplink) forgetRouters(reason error) {
	hangUp(&u.routers)
	hangUp(&u.dhcp6)
	u.adverts, u.taken, u.lease6, u.asked6 = Routers{}, nil, nil, noDHCPv6
	u.install(reason)
}

// hangUp ends what runs for the interface.
func (u *uplink) hangUp() {
	for _, s := range []**session{&u.dhcp, &u.routers, &u.dhcp6, &u.guard} {
		hangUp(s)
	}
	u.stopAsking()
}

// becomes makes the interface the one that is wanted now. What it has of the other one goes on as far as it can: the
// next look finds out.
func (u *uplink) becomes(want Interface, metric int) {
	moved := u.want.VLAN != want.VLAN || !slices.Equal(u.want.MAC, want.MAC)
	if moved {
		u.abandon(errNotWanted)
	}
	other := !u.want.same(want) || u.metric != metric
	u.want, u.metric = want, metric
	if !other {
		return
	}
	if u.ifname != "" {
		u.reportOnce("settle IPv6", settleIPv6(u.ifname, want.IPv6.Method))
	}
	u.install(errNotWanted)
}

// mac is the MAC of what has the addresses.
func (u *uplink) mac() net.HardwareAddr {
	if u.want.MAC != nil {
		return u.want.MAC
	}
	return u.nic.MAC
}

// leave undoes what was set up for an interface that is wanted no more. Its bridge stays while guests are in it.
func (u *uplink) leave() {
	u.hangUp()
	u.abandon(errNotWanted)
	u.want.IPv4, u.want.IPv6 = IPv4{}, IPv6{}
	u.install(errNotWanted)
	u.event(Event{Kind: EventGone})
	if u.want.Bridge != "" {
		u.m.reportOnce("remove "+u.want.Bridge, Bridge{u.want.Bridge}.removeUnused())
	}
}
