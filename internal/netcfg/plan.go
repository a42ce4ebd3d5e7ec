package netcfg

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Source says where an address comes from.
type Source string

// The sources of addresses.
const (
	ByDHCP   Source = "DHCP"
	ByDHCPv6 Source = "DHCPv6"
	ByRA     Source = "RA" // made from a router's advertisement (RFC 4862)
	ByHand   Source = "static"
	ByLink   Source = "link" // link-local, made from the MAC
)

// Address is an address that an interface is to have.
type Address struct {
	Prefix    netip.Prefix // the address with the prefix length of its subnet
	Broadcast netip.Addr   // invalid: none
	Expires   time.Time    // zero: never
	Preferred time.Time    // until when it is used for what begins then; zero: until it expires. IPv6
	By        Source
	NoRoute   bool // the prefix length says nothing about what is on the link. IPv6
}

// Config is all that the kernel is to have of one interface.
type Config struct {
	MTU       int // in bytes; 0: nobody has said
	Addresses []Address
	Routes    []Route
}

// Change is one step from one configuration of an interface to another: [RemoveRoute], [RemoveAddress], [SetMTU],
// [SetAddress] or [AddRoute].
type Change interface {
	fmt.Stringer
	isChange()
}

// The changes.
type (
	RemoveRoute struct{ Route Route }
	// RemoveAddress takes the address off the link, and with it what the kernel derived from it.
	RemoveAddress struct{ Address netip.Prefix }
	// SetMTU sets it for the link and, for a bridge, for its ports. Bytes.
	SetMTU struct{ MTU int }
	// SetAddress adds the address, or gives the one that is there a new time to live. The kernel
	// lets it expire by itself then, also when this program should no longer be there to do it.
	SetAddress struct{ Address Address }
	AddRoute   struct{ Route Route }
)

func (RemoveRoute) isChange()   {}
func (RemoveAddress) isChange() {}
func (SetMTU) isChange()        {}
func (SetAddress) isChange()    {}
func (AddRoute) isChange()      {}

func (c RemoveRoute) String() string   { return "remove route " + c.Route.String() }
func (c RemoveAddress) String() string { return "remove address " + c.Address.String() }
func (c SetMTU) String() string        { return fmt.Sprintf("set MTU %d", c.MTU) }
func (c SetAddress) String() string    { return "set address " + c.Address.Prefix.String() }
func (c AddRoute) String() string      { return "add route " + c.Route.String() }

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

// Installed is what the kernel has of the configuration of an interface.
type Installed struct {
	Up        bool
	MTU       int            // of the interface and, if it is a bridge, of all its ports; 0: they differ
	Addresses []netip.Prefix // whoever added them
	Routes    []Route        // those that this package added
}

// Plan lists what leads from what the kernel has to the next configuration, in the order in which it has to happen.
// old is the configuration that was applied last. Between two leases of one address (a renewal) only what differs is
// touched, and the address's time to live; with a new IPv4 address everything that hung on the old one goes first,
// because the kernel would drop the new address along with the old one where they share a subnet. Between a
// configuration and itself it lists what the kernel has lost.
//
// What a person configured is left alone: other addresses, routes that are not this package's, an MTU if nobody gave
// any.
func Plan(have Installed, old, next Config) []Change {
	kept := sameIPv4(old, next)
	changes := planRemoval(have, old, next, kept)
	if mtu := mtuFor(old, next); mtu != 0 && mtu != have.MTU {
		changes = append(changes, SetMTU{mtu})
	}
	return append(changes, planAddition(have, old, next, kept)...)
}

// planRemoval lists the routes that the next configuration lacks, and the old addresses unless they are kept.
func planRemoval(have Installed, old, next Config, kept bool) []Change {
	var changes []Change
	is4 := func(a Address) bool { return a.Prefix.Addr().Is4() }
	used4 := slices.ContainsFunc(old.Addresses, is4) || slices.ContainsFunc(next.Addresses, is4)
	for _, route := range have.Routes {
		if route.Destination.Addr().Is4() && !used4 {
			continue // an earlier run's, which go on until there is a lease again
		}
		if !kept && route.Destination.Addr().Is4() || !slices.Contains(next.Routes, route) {
			changes = append(changes, RemoveRoute{route})
		}
	}
	for _, address := range old.Addresses {
		goes := !kept && address.Prefix.Addr().Is4() || !next.has(address.Prefix)
		if goes && slices.Contains(have.Addresses, address.Prefix) {
			changes = append(changes, RemoveAddress{address.Prefix})
		}
	}
	return changes
}

// planAddition lists the addresses that the kernel lacks or is to keep for longer, and the routes that it lacks.
func planAddition(have Installed, old, next Config, kept bool) []Change {
	var changes []Change
	for _, address := range next.Addresses {
		removed := !kept && address.Prefix.Addr().Is4()
		if removed || !slices.Contains(old.Addresses, address) || !slices.Contains(have.Addresses, address.Prefix) {
			changes = append(changes, SetAddress{address})
		}
	}
	for _, route := range next.Routes {
		removed := !kept && route.Destination.Addr().Is4()
		if removed || !slices.Contains(have.Routes, route) {
			changes = append(changes, AddRoute{route})
		}
	}
	return changes
}

func (c Config) has(prefix netip.Prefix) bool {
	return slices.ContainsFunc(c.Addresses, func(a Address) bool { return a.Prefix == prefix })
}

// sameIPv4 says whether two configurations have the same IPv4 addresses.
func sameIPv4(old, next Config) bool {
	same := func(a, b Address) bool { return a.Prefix == b.Prefix && a.Broadcast == b.Broadcast }
	return slices.EqualFunc(old.family(true), next.family(true), same)
}

// family returns the addresses of IPv4, or else of IPv6.
func (c Config) family(is4 bool) []Address {
	var addresses []Address
	for _, address := range c.Addresses {
		if address.Prefix.Addr().Is4() == is4 {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

// mtuFor returns the MTU of the next configuration, or Ethernet's where only the old one had any; 0: neither had.
func mtuFor(old, next Config) int {
	if next.MTU == 0 && old.MTU != 0 {
		return DefaultMTU
	}
	return next.MTU
}

// expires returns the end of the lease, zero for one without end.
func (t Times) expires() time.Time {
	if t.Length == Forever {
		return time.Time{}
	}
	return t.Start.Add(t.Length)
}

// config is what a lease says of its interface; nil is no lease.
func (l *Lease) config() Config {
	if l == nil {
		return Config{}
	}
	return Config{
		MTU:       l.MTU,
		Addresses: []Address{{Prefix: l.Address, Broadcast: l.Broadcast, Expires: l.Times.expires(), By: ByDHCP}},
		Routes:    l.Routes,
	}
}

// config is what the static addresses and gateways of an interface come to.
func (i Interface) config() Config {
	var c Config
	if i.IPv4.Method == Static {
		for _, prefix := range i.IPv4.Addresses {
			c.Addresses = append(c.Addresses, Address{Prefix: prefix, Broadcast: broadcastOf(prefix), By: ByHand})
		}
		c.addGateway(i.IPv4.Gateway, i.IPv4.Addresses)
	}
	if i.IPv6.Method == Static {
		for _, prefix := range i.IPv6.Addresses {
			c.Addresses = append(c.Addresses, Address{Prefix: prefix, By: ByHand})
		}
		c.addGateway(i.IPv6.Gateway, i.IPv6.Addresses)
	}
	return c
}

// addGateway adds a default route. The gateway may lie outside of the subnets.
func (c *Config) addGateway(gateway netip.Addr, addresses []netip.Prefix) {
	if !gateway.IsValid() {
		return
	}
	near := func(p netip.Prefix) bool { return p.Contains(gateway) }
	everything := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	metric := metric6
	if gateway.Is4() {
		everything, metric = netip.PrefixFrom(netip.IPv4Unspecified(), 0), 0
	}
	c.Routes = append(c.Routes, Route{
		Destination: everything, Gateway: gateway, Metric: metric,
		OnLink: gateway.Is4() && !slices.ContainsFunc(addresses, near),
	})
}

// routes are the interface's own, beyond the default routes, as far as their gateways can be reached from addresses. An
// IPv4 gateway may lie outside of the subnets.
func (i Interface) routes(addresses []Address) Config {
	var c Config
	for _, route := range i.Routes {
		is4 := route.Gateway.Is4()
		family := func(a Address) bool { return a.Prefix.Addr().Is4() == is4 }
		near := func(a Address) bool { return a.Prefix.Contains(route.Gateway) }
		onLink := slices.ContainsFunc(addresses, near)
		if !slices.ContainsFunc(addresses, family) || !is4 && !onLink {
			continue
		}
		route := Route{Destination: route.Destination, Gateway: route.Gateway, OnLink: is4 && !onLink}
		if !is4 {
			route.Metric = metric6
		}
		c.Routes = append(c.Routes, route)
	}
	return c
}

// metric6 is the metric of IPv6 routes: the kernel takes 0 for this.
const metric6 = 1024

// join joins what several sources say of one interface. The first MTU counts, and the first of two same addresses.
func join(configs ...Config) Config {
	var all Config
	for _, c := range configs {
		if all.MTU == 0 {
			all.MTU = c.MTU
		}
		for _, address := range c.Addresses {
			if !all.has(address.Prefix) {
				all.Addresses = append(all.Addresses, address)
			}
		}
		for _, route := range c.Routes {
			if !slices.Contains(all.Routes, route) {
				all.Routes = append(all.Routes, route)
			}
		}
	}
	return all
}

// worse returns the configuration with a metric added to that of each route.
func (c Config) worse(metric int) Config {
	routes := slices.Clone(c.Routes)
	for i := range routes {
		routes[i].Metric += metric
	}
	c.Routes = routes
	return c
}
