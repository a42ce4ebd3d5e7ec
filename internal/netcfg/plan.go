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

// Plan lists what leads from the configuration of one lease to that of the next, in the order
// in which it has to happen. nil stands for no lease, on either side. Between two leases of one
// address (a renewal) only what differs is touched, and the address's time to live; with a new
// address everything that hung on the old one goes first, because the kernel would drop the new
// address along with the old one where they share a subnet.
func Plan(old, next *Lease) []Change {
	if old == nil && next == nil {
		return nil
	}
	var changes []Change
	kept := sameAddress(old, next)
	changes = append(changes, planRemoval(old, next, kept)...)
	if mtuOf(old) != mtuOf(next) {
		changes = append(changes, SetMTU{mtuOf(next)})
	}
	changes = append(changes, planAddition(old, next, kept)...)
	return append(changes, planFiles(old, next)...)
}

// planRemoval lists the routes, and the address unless it is kept, that the next lease lacks.
func planRemoval(old, next *Lease, kept bool) []Change {
	if old == nil {
		return nil
	}
	var changes []Change
	for _, route := range slices.Backward(old.Routes) { // gateways' own routes come first in a lease
		if !kept || !slices.Contains(next.Routes, route) {
			changes = append(changes, RemoveRoute{route})
		}
	}
	if !kept {
		changes = append(changes, RemoveAddress{old.Address})
	}
	return changes
}

// planAddition lists the address and the routes that the old lease lacked.
func planAddition(old, next *Lease, kept bool) []Change {
	if next == nil {
		return nil
	}
	changes := []Change{SetAddress{next.Address, next.Broadcast, next.Times.expires()}}
	for _, route := range next.Routes {
		if !kept || !slices.Contains(old.Routes, route) {
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

func mtuOf(lease *Lease) int {
	if lease == nil || lease.MTU == 0 {
		return DefaultMTU
	}
	return lease.MTU
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
