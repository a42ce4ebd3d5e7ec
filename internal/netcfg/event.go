package netcfg

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"time"
)

// EventKind says what happened.
type EventKind int

// The kinds of events, and which fields of [Event] each has besides Interface, NIC and Status.
const (
	EventLease       EventKind = iota // a DHCPv4 address came into force, or changed: Lease, Address
	EventRenewed                      // the lease goes on with the same address and gateway: Lease, Address
	EventLost                         // the lease's address was removed: Lease (the one that was), Address, Err
	EventNoLease                      // still no lease; comes ever more rarely: Tried, Err
	EventNIC                          // another NIC is in use
	EventNoNIC                        // no NIC can be used: Err
	EventProblem                      // something failed, the rest goes on: Err
	EventAddress                      // a static or IPv6 address came into force: Address, By
	EventAddressGone                  // it was removed: Address, By, Err
	EventConflict                     // another host has an address of this machine, or that it wanted: Address, Err
	EventServers                      // several DHCP servers answer: Err
	EventLinkDown                     // the NIC in use has had no carrier for some time: Err
	EventLinkUp                       // it has one again
	EventNoAddress                    // the interface has had no address for 20 s: Tried
	EventReachable                    // after EventNoAddress: it has one
	EventStatus                       // Status has changed in another way
	EventGone                         // the interface is not wanted any more
)

var eventNames = [...]string{
	"lease", "renewed", "lost", "no lease", "NIC", "no NIC", "problem", "address", "address gone", "conflict",
	"servers", "link down", "link up", "no address", "reachable", "status", "gone",
}

func (k EventKind) String() string { return eventNames[k] }

// Event is something about the network that a person would want to know.
type Event struct {
	Kind      EventKind
	Interface string        // that has, or is to have, the address: the bridge, or a NIC itself; empty: not known yet
	NIC       string        // the NIC in use; empty: none
	Primary   bool          // it is the first interface
	Lease     *Lease        // not to be changed
	Address   netip.Prefix  //
	By        Source        // of Address
	Tried     time.Duration // how long an address has been looked for through this NIC
	Err       error
	Status    Status // of the interface, after the event
}

// Status is how an interface stands.
type Status struct {
	Carrier   bool // of the NIC in use
	Addresses []Address
	Gateways  []netip.Addr // of the best default routes: IPv4's, then IPv6's
	DNS       []netip.Addr // that this interface's sources gave
	Search    []string
}

// event completes and reports an event.
func (u *uplink) event(event Event) {
	event.Interface, event.NIC, event.Status = u.name(), u.nic.Name, u.status()
	event.Primary = len(u.m.uplinks) == 0 || u.m.uplinks[0] == u
	u.lastTold = event.Status
	u.m.report(event)
}

// name is what the interface is called, also before it is there.
func (u *uplink) name() string {
	switch {
	case u.ifname != "":
		return u.ifname
	case u.want.NIC != AutoNIC:
		return u.want.key()
	}
	return ""
}

// reportOnce reports what is wrong with something of the interface.
func (u *uplink) reportOnce(what string, err error) {
	if isGone(err) {
		return // who is just looking at a link finds it gone, and the next look knows
	}
	if u.m.isNews(u.want.key()+": "+what, err) {
		u.event(Event{Kind: EventProblem, Err: err})
	}
}

func (u *uplink) status() Status {
	s := Status{Carrier: u.nic.Index != 0 && u.nic.Carrier}
	for _, address := range u.applied.Addresses {
		if u.refused[address.Prefix] == nil {
			s.Addresses = append(s.Addresses, address)
		}
	}
	for _, is4 := range []bool{true, false} {
		if gateway := u.applied.gateway(is4); gateway.IsValid() {
			s.Gateways = append(s.Gateways, gateway)
		}
	}
	services := u.services()
	s.DNS, s.Search = services.DNS, services.Search
	return s
}

// gateway is the router of the best default route of IPv4, or else of IPv6; invalid where there is none.
func (c Config) gateway(is4 bool) netip.Addr {
	var best Route
	for _, route := range c.Routes {
		if route.Destination.Bits() == 0 && route.Destination.Addr().Is4() == is4 && route.Gateway.IsValid() &&
			(!best.Gateway.IsValid() || route.Metric < best.Metric) {
			best = route
		}
	}
	return best.Gateway
}

// timeless is the status without the times that each renewal changes.
func (s Status) timeless() Status {
	addresses := make([]Address, len(s.Addresses))
	for i, address := range s.Addresses {
		address.Expires, address.Preferred = time.Time{}, time.Time{}
		addresses[i] = address
	}
	s.Addresses = addresses
	return s
}

// reportStatus reports what no other event has told.
func (u *uplink) reportStatus() {
	if !reflect.DeepEqual(u.status().timeless(), u.lastTold.timeless()) {
		u.event(Event{Kind: EventStatus})
	}
}

// alone is for how long an interface has been without an address.
type alone struct {
	since time.Time // zero: it has one
	told  bool
}

func (a alone) due(timing Timing) time.Time {
	if a.since.IsZero() || a.told {
		return time.Time{}
	}
	return a.since.Add(timing.AddressWait)
}

// reportAlone says that the interface has been without any address for some time, and when it has one again: who
// gives guests addresses of their own until then waits for that.
func (u *uplink) reportAlone() {
	hasAddress := u.held.inForce() || len(u.told) > 0 || !u.want.wantsAddress()
	switch {
	case hasAddress && u.alone.told:
		u.alone = alone{}
		u.event(Event{Kind: EventReachable})
	case hasAddress:
		u.alone = alone{}
	case u.alone.since.IsZero():
		u.alone.since = u.m.looked
	case !u.alone.told && u.m.isOver(u.alone.due(u.m.timing)):
		u.alone.told = true
		u.event(Event{Kind: EventNoAddress, Tried: u.m.looked.Sub(u.alone.since)})
	}
}

// reportDuplicate says once for each address and host that another host has it.
func (u *uplink) reportDuplicate(d Duplicate) {
	if u.m.isNews(u.want.key()+": "+d.Address.String(), d.Err) {
		u.event(Event{Kind: EventConflict, Address: netip.PrefixFrom(d.Address, d.Address.BitLen()), Err: d.Err})
	}
}

// reportConflict is reportDuplicate for the DHCPv4 client's reasons, as far as they are such.
func (u *uplink) reportConflict(err error) {
	if conflict, ok := errors.AsType[*conflictError](err); ok {
		u.reportDuplicate(Duplicate{conflict.lease.Address.Addr(), conflict})
	}
}

// reportRivals says once for each set of servers that there are several.
func (u *uplink) reportRivals(r Rivals) {
	err := fmt.Errorf("%d DHCP servers answer: %v; the first to answer counts", len(r.Servers), r.Servers)
	if u.m.isNews(u.want.key()+": servers", err) {
		u.event(Event{Kind: EventServers, Err: err})
	}
}
