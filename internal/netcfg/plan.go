package netcfg

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Change is one step from the configuration of one lease to that of another: [RemoveRoute],
// [RemoveAddress], [SetMTU], [SetAddress], [AddRoute], [SetResolvers], [SetTimeServers] or
// [SetHostname].
type Change interface {
	fmt.Stringer
	isChange()
}

// The changes. Those of the link concern the interface that holds the lease.
type (
	RemoveRoute struct{ Route Route }
	// RemoveAddress takes the address off the link, and with it what the kernel derived from it.
	RemoveAddress struct{ Address netip.Prefix }
	// SetMTU sets it for the link and, for a bridge, for its ports. Bytes.
	SetMTU struct{ MTU int }
	// SetAddress adds the address, or gives the one that is there a new time to live. The kernel
	// lets it expire by itself then, also when this program should no longer be there to do it.
	SetAddress struct {
		Address   netip.Prefix
		Broadcast netip.Addr // invalid: none
		Expires   time.Time  // zero: never
	}
	AddRoute struct{ Route Route }
	// SetResolvers writes resolv.conf.
	SetResolvers struct{ Text string }
	// SetTimeServers writes the list of time servers, one address a line.
	SetTimeServers struct{ Text string }
	SetHostname    struct{ Name string }
)

func (RemoveRoute) isChange()    {}
func (RemoveAddress) isChange()  {}
func (SetMTU) isChange()         {}
func (SetAddress) isChange()     {}
func (AddRoute) isChange()       {}
func (SetResolvers) isChange()   {}
func (SetTimeServers) isChange() {}
func (SetHostname) isChange()    {}

func (c RemoveRoute) String() string    { return "remove route " + c.Route.String() }
func (c RemoveAddress) String() string  { return "remove address " + c.Address.String() }
func (c SetMTU) String() string         { return fmt.Sprintf("set MTU %d", c.MTU) }
func (c SetAddress) String() string     { return "set address " + c.Address.String() }
func (c AddRoute) String() string       { return "add route " + c.Route.String() }
func (c SetResolvers) String() string   { return "set resolvers" }
func (c SetTimeServers) String() string { return "set time servers" }
func (c SetHostname) String() string    { return "set host name " + c.Name }

// String returns the route as ip-route(8) would take it.
func (r Route) String() string {
	text := r.Destination.String()
	if r.Gateway.IsValid() {
		text += " via " + r.Gateway.String()
	}
	if r.Metric > 0 {
		text += fmt.Sprintf(" metric %d", r.Metric)
	}
	return text
}

// Installed is what the kernel has of the configuration of the interface that holds the lease.
type Installed struct {
	Up        bool
	MTU       int            // of the interface and, if it is a bridge, of all its ports; 0: they differ
	Addresses []netip.Prefix // IPv4, whoever added them
	Routes    []Route        // those that DHCP added
}

// Plan lists what leads from what the kernel has to the configuration of the next lease, in the order in which
// it has to happen. old is the lease that was applied last; nil stands for no lease, on either side. Between two
// leases of one address (a renewal) only what differs is touched, and the address's time to live; with a new
// address everything that hung on the old one goes first, because the kernel would drop the new address along with
// the old one where they share a subnet. Between a lease and itself it lists what the kernel has lost.
//
// What a person configured is left alone: other addresses, routes that are not DHCP's, an MTU that no lease gave.
func Plan(have Installed, old, next *Lease) []Change {
	if old == nil && next == nil {
		return nil
	}
	kept := sameAddress(old, next)
	changes := planRemoval(have, old, next, kept)
	if mtu := mtuFor(old, next); mtu != 0 && mtu != have.MTU {
		changes = append(changes, SetMTU{mtu})
	}
	changes = append(changes, planAddition(have, old, next, kept)...)
	return append(changes, planFiles(old, next)...)
}

// planRemoval lists the routes that the next lease lacks, and the old address unless it is kept.
func planRemoval(have Installed, old, next *Lease, kept bool) []Change {
	var changes []Change
	for _, route := range have.Routes {
		if !kept || !slices.Contains(next.Routes, route) {
			changes = append(changes, RemoveRoute{route})
		}
	}
	if old != nil && !kept && slices.Contains(have.Addresses, old.Address) {
		changes = append(changes, RemoveAddress{old.Address})
	}
	return changes
}

// planAddition lists the address, if the kernel lacks it or is to keep it for longer, and the routes that the
// kernel lacks.
func planAddition(have Installed, old, next *Lease, kept bool) []Change {
	if next == nil {
		return nil
	}
	var changes []Change
	if !kept || old.Times != next.Times || !slices.Contains(have.Addresses, next.Address) {
		changes = append(changes, SetAddress{next.Address, next.Broadcast, next.Times.expires()})
	}
	for _, route := range next.Routes {
		if !kept || !slices.Contains(have.Routes, route) {
			changes = append(changes, AddRoute{route})
		}
	}
	return changes
}

// planFiles lists what a lease says beyond the link. The files of a first lease are always
// written, so that none of an earlier run is left; a host name stays until another is given.
func planFiles(old, next *Lease) []Change {
	var changes []Change
	if text := ResolvConf(next); old == nil || text != ResolvConf(old) {
		changes = append(changes, SetResolvers{text})
	}
	if text := TimeServers(next); old == nil || text != TimeServers(old) {
		changes = append(changes, SetTimeServers{text})
	}
	if next != nil && next.Hostname != "" && (old == nil || old.Hostname != next.Hostname) {
		changes = append(changes, SetHostname{next.Hostname})
	}
	return changes
}

func sameAddress(old, next *Lease) bool {
	return old != nil && next != nil && old.Address == next.Address && old.Broadcast == next.Broadcast
}

// mtuFor returns the MTU that the next lease gives, or Ethernet's where only the old one gave any; 0: neither did.
func mtuFor(old, next *Lease) int {
	switch {
	case next != nil && next.MTU != 0:
		return next.MTU
	case old != nil && old.MTU != 0:
		return DefaultMTU
	default:
		return 0
	}
}

// expires returns the end of the lease, zero for one without end.
func (t Times) expires() time.Time {
	if t.Length == Forever {
		return time.Time{}
	}
	return t.Start.Add(t.Length)
}

// ResolvConf returns the text of resolv.conf(5) for a lease. Without a lease, or one without
// resolvers, it says so in a comment.
func ResolvConf(lease *Lease) string {
	var text strings.Builder
	text.WriteString("# written from the DHCP lease; changes are lost\n")
	if lease == nil || len(lease.DNS) == 0 {
		text.WriteString("# no name server known\n")
	}
	if lease == nil {
		return text.String()
	}
	if len(lease.Search) > 0 {
		fmt.Fprintf(&text, "search %s\n", strings.Join(lease.Search, " "))
	}
	for _, server := range lease.DNS {
		fmt.Fprintf(&text, "nameserver %s\n", server)
	}
	return text.String()
}

// TimeServers returns the lease's NTP servers, one a line, best first.
func TimeServers(lease *Lease) string {
	var text strings.Builder
	if lease != nil {
		for _, server := range lease.NTP {
			fmt.Fprintln(&text, server)
		}
	}
	return text.String()
}
