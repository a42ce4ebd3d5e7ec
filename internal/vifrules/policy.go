package vifrules

import (
	"fmt"
	"net/netip"
	"slices"
)

// Reason says why a frame of a guest was dropped. It is the counter's name too.
type Reason string

// The reasons. Those of trustable are given up by naming them in [Guest.Trust].
const (
	SpoofedMAC  Reason = "mac"       // the sender's is not that of the vif
	Control     Reason = "control"   // for switches only: spanning tree, LLDP, LACP (IEEE 802.1D, table 7-10)
	Tagged      Reason = "vlan"      // the guest put a VLAN tag on it
	SpoofedARP  Reason = "arp"       // it claims another MAC, an address that is somebody else's, or not the guest's
	SpoofedIP   Reason = "address"   // IPv4 or IPv6 source, or neighbour advertisement, likewise
	DHCPServer  Reason = "dhcp"      // the guest answers as a DHCP or DHCPv6 server
	RouterAd    Reason = "ra"        // IPv6 router advertisement
	Redirect    Reason = "redirect"  // ICMP redirect, IPv4 or IPv6
	Fragment    Reason = "fragment"  // IPv6, and hides what it carries (RFC 7112, RFC 6980)
	ByRouter    Reason = "router"    // to dom0, but to be brought there by somebody else, past dom0's rules for guests
	Flood       Reason = "flood"     // more ARP or ICMP to dom0 than it needs: each may fill dom0's table of neighbours
	OverRate    Reason = "rate"      // more than the rate limit, in either direction
	Neighbour   Reason = "neighbour" // to a guest that it is isolated from
	NotInbound  Reason = "inbound"   // to the guest: not on its list of what may come in
	FromNowhere Reason = "unknown"   // by a vif that no rule is about
)

// Reasons lists those that are counted for each guest.
var Reasons = []Reason{
	SpoofedMAC, Control, Tagged, SpoofedARP, SpoofedIP, DHCPServer, RouterAd, Redirect, Fragment,
	ByRouter, Flood, OverRate, Neighbour, NotInbound,
}

// trustable are what a guest can be allowed.
var trustable = Reasons[:9]

// Offences are those for which nothing is dropped of a guest that means well and is set up right.
var Offences = Reasons[:11]

// Guest is what the configuration says of a guest's network. The zero value is the default: no limit, no isolation,
// and no spoofing.
type Guest struct {
	Name string // for DNS; empty: the one that the domain had when it was created
	// Addresses are those that the guest may use, and no other guest; empty: all that are not somebody else's (see
	// [Host.Protected]). IPv6 link-local ones are allowed as well.
	Addresses []netip.Addr
	VLAN      int   // 1 to 4094: untagged in the guest, tagged on the bridge's NIC; 0: none
	Rate      int64 // bytes a second in each direction; 0: no limit
	Isolated  bool  // from all other guests
	NoHost    bool  // from dom0, but for DHCP and DNS of a private bridge
	// Inbound lists what may come in from other guests and from the LAN; nil: everything. dom0 itself and replies are
	// never filtered.
	Inbound []Inbound
	Trust   []Reason // what is not dropped: for guests that are routers, DHCP servers or hypervisors
}

// Inbound allows traffic to a guest.
type Inbound struct {
	Protocol    Protocol
	First, Last uint16       // ports; 0, 0: all. Last 0: only First
	From        netip.Prefix // not valid: from everywhere
}

// Protocol is one that rules know.
type Protocol string

// The protocols. Of ICMP only the echo request is ever filtered.
const (
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
	ICMP Protocol = "icmp" // ICMPv6 too
	Any  Protocol = "any"  // these and all others
)

// Check says what is wrong with a guest's settings.
func (g Guest) Check() error {
	for _, reason := range g.Trust {
		if !slices.Contains(trustable, reason) {
			return fmt.Errorf("trust %q: want one of %q", reason, trustable)
		}
	}
	for _, rule := range g.Inbound {
		if err := rule.check(); err != nil {
			return err
		}
	}
	switch {
	case g.VLAN < 0 || g.VLAN > 4094:
		return fmt.Errorf("VLAN %d: want 1 to 4094", g.VLAN)
	case g.Rate != 0 && g.Rate < minRate:
		return fmt.Errorf("rate %d bytes a second: want %d or more", g.Rate, minRate)
	}
	return nil
}

// minRate is below what a guest needs to be of use, and above what one full frame a second would be.
const minRate = 8 << 10

func (i Inbound) check() error {
	switch {
	case (i.Protocol == ICMP || i.Protocol == Any) && i.First+i.Last != 0:
		return fmt.Errorf("inbound %s has no ports", i.Protocol)
	case i.Protocol != TCP && i.Protocol != UDP && i.Protocol != ICMP && i.Protocol != Any:
		return fmt.Errorf("inbound protocol %q: want tcp, udp, icmp or any", i.Protocol)
	case i.Last != 0 && i.Last < i.First:
		return fmt.Errorf("inbound ports %d to %d: the second is lower", i.First, i.Last)
	}
	return nil
}

func (g Guest) trusts(reason Reason) bool { return slices.Contains(g.Trust, reason) }

// Service is a port of dom0's.
type Service struct {
	Protocol Protocol // TCP or UDP
	Port     uint16
}

// Host is what concerns dom0 itself.
type Host struct {
	// Protected are dom0's own addresses and its gateways, Resolvers its name servers. No guest may claim to have them,
	// nor one that is configured for another guest or that a DHCP server has given to one. A gateway or name server
	// that is a guest itself has its address configured.
	Protected  []netip.Addr
	Resolvers  []netip.Addr
	Own        []netip.Addr // dom0's; Configure looks them up
	Open       []Service    // to everybody but guests
	OpenGuests []Service    // to guests
	OpenAll    bool         // to everybody but guests, every port is open
	Private    []Private    // set by package privnet
}

// Private is a bridge on which dom0 itself gives addresses, and between which and the rest of the world it translates
// them.
type Private struct {
	Bridge string
	Prefix netip.Prefix // dom0's own address there, with the length of the subnet
	// Temporary is a network on a bridge that is private for a time only. A guest may have an address of the LAN's,
	// too; of this network's it may use its own only, as on any other.
	Temporary bool
	// First and Last bound the addresses that are given away; not valid: all of the subnet.
	First, Last netip.Addr
	Reserved    []netip.Addr // for guests that have them configured, whether they are here or not
	NoNAT       bool         // guests reach nothing beyond the bridge and dom0
	NoDNS       bool         // dom0 answers no questions for names there
}

// gives says whether an address is one of those that are given away.
func (p Private) gives(address netip.Addr) bool {
	return usable(p.Prefix, address) && !slices.Contains(p.Reserved, address) &&
		(!p.First.IsValid() || !address.Less(p.First)) && (!p.Last.IsValid() || !p.Last.Less(address))
}

// Config is all that was configured.
type Config struct {
	Host   Host
	Guests map[string]Guest      // by UUID, lower case
	Leases map[string]netip.Addr // by MAC, lower case: addresses given on private bridges
}

// private returns the private network on a bridge.
func (c *Config) private(bridge string) (Private, bool) {
	at := slices.IndexFunc(c.Host.Private, func(p Private) bool { return p.Bridge == bridge })
	if at < 0 {
		return Private{}, false
	}
	return c.Host.Private[at], true
}

// Vif is a guest's network interface in dom0.
type Vif struct {
	Name   string // of the interface: vif3.0
	Bridge string
	MAC    string // lower case
	Domid  int
	UUID   string     // the guest's, lower case
	Guest  string     // its name when the vif came
	Lease  netip.Addr // that it has on a private bridge; not valid elsewhere
}

// fenced returns the network of whose addresses the vif may use its own only; not valid: there is none.
func (c *Config) fenced(v Vif) netip.Prefix {
	if p, ok := c.private(v.Bridge); ok && p.Temporary && v.Lease.IsValid() {
		return p.Prefix
	}
	return netip.Prefix{}
}

// allowed returns the addresses that the vif is held to; none: any.
func (c *Config) allowed(v Vif) []netip.Addr {
	addresses := slices.Clone(c.Guests[v.UUID].Addresses)
	if p, ok := c.private(v.Bridge); ok && !p.Temporary && v.Lease.IsValid() && !slices.Contains(addresses, v.Lease) {
		addresses = append(addresses, v.Lease)
	}
	return addresses
}

// belonging returns the addresses that are the vif's and nobody else's. It may be held to fewer, or use others besides.
func (c *Config) belonging(v Vif) []netip.Addr {
	addresses := c.allowed(v)
	if v.Lease.IsValid() {
		addresses = append(addresses, v.Lease)
	}
	return slices.DeleteFunc(addresses, func(a netip.Addr) bool { return slices.Contains(c.Host.Own, a) })
}

// owned returns all addresses that are somebody's, sorted.
func (c *Config) owned(vifs []Vif) []netip.Addr {
	addresses := slices.Concat(c.Host.Protected, c.Host.Resolvers, c.Host.Own)
	for _, v := range vifs {
		if v.Lease.IsValid() {
			addresses = append(addresses, v.Lease)
		}
	}
	for _, guest := range c.Guests {
		addresses = append(addresses, guest.Addresses...)
	}
	addresses = slices.DeleteFunc(addresses, func(a netip.Addr) bool { return a.IsLoopback() || a.IsUnspecified() })
	slices.SortFunc(addresses, netip.Addr.Compare)
	return slices.Compact(addresses)
}
