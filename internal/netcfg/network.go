package netcfg

import (
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
)

// Network is what is wanted of a machine's network. It is plain data: [Network.Check] says whether it makes sense,
// a [Manager] makes it true.
type Network struct {
	Bonds      []Bond
	Interfaces []Interface  // the first one is the primary: its routes win, and what it learns comes first
	DNS        []netip.Addr // name servers that come before all that are learnt
	Search     []string     // domains that come before all that are learnt
}

// The values of [Interface.NIC] that name no NIC.
const (
	AutoNIC = "auto" // the one that BOOTIF names, else the first that leads to a DHCP server or router
	NoNIC   = "none" // guests and dom0 among themselves
)

// Interface is a bridge with what it lies over, or a link without a bridge, and the addresses that this machine
// has there.
type Interface struct {
	Bridge string           // to create, with the addresses; empty: what NIC and VLAN say has the addresses itself
	NIC    string           // AutoNIC, NoNIC, or a NIC or bond by its name, another name (altname) or its MAC
	VLAN   int              // 1 to 4094: tagged on the NIC; 0: untagged
	MTU    int              // in bytes; 0: what a DHCP server says, else Ethernet's
	MAC    net.HardwareAddr // of the bridge; nil: its NIC's
	Metric int              // added to that of each route, the lowest wins; 0: it follows from the place in the list
	IPv4   IPv4
	IPv6   IPv6
	Routes []Route // beyond the default routes, while their gateways can be reached; Destination and Gateway
}

// Method is how an interface gets its addresses of one family.
type Method int

// The methods.
const (
	None   Method = iota // no addresses; for IPv6 not even a link-local one
	Static               // those that are named
	Auto                 // IPv4: DHCP. IPv6: router advertisements, and DHCPv6 where they ask for it
)

// IPv4 is how an interface gets IPv4 addresses.
type IPv4 struct {
	Method    Method
	Addresses []netip.Prefix // of Static: addresses with the prefix lengths of their subnets
	Gateway   netip.Addr     // of Static; invalid: none
}

// IPv6 is how an interface gets IPv6 addresses.
type IPv6 struct {
	Method    Method
	Addresses []netip.Prefix // of Static
	Gateway   netip.Addr     // of Static; invalid: none
}

// Bond joins NICs into one link.
type Bond struct {
	Name    string
	Members []string // NICs by name, altname or MAC; one that is not there yet joins when it comes
	Options string   // as in dracut's bond=: NAME=VALUE of the kernel's bonding driver, with commas between
	MTU     int      // in bytes; 0: Ethernet's
}

// DefaultNetwork is what a machine has without any configuration: one bridge over the first NIC that leads anywhere,
// with addresses from whoever gives them there.
func DefaultNetwork(bridge string) Network {
	return Network{Interfaces: []Interface{
		{Bridge: bridge, NIC: AutoNIC, IPv4: IPv4{Method: Auto}, IPv6: IPv6{Method: Auto}},
	}}
}

// DirectNetwork is [DefaultNetwork] without a bridge. nic is a NIC's name, or AutoNIC.
func DirectNetwork(nic string) Network {
	network := DefaultNetwork("")
	network.Interfaces[0].NIC = nic
	return network
}

// Bridges returns the names of the bridges.
func (n Network) Bridges() []string {
	var names []string
	for _, i := range n.Interfaces {
		if i.Bridge != "" {
			names = append(names, i.Bridge)
		}
	}
	return names
}

// key is what an interface is known by when the configuration changes.
func (i Interface) key() string {
	if i.Bridge != "" {
		return i.Bridge
	}
	return i.NIC + vlanSuffix(i.VLAN)
}

// statics returns the addresses that are named.
func (i Interface) statics() []netip.Prefix {
	var all []netip.Prefix
	if i.IPv4.Method == Static {
		all = append(all, i.IPv4.Addresses...)
	}
	if i.IPv6.Method == Static {
		all = append(all, i.IPv6.Addresses...)
	}
	return all
}

// wantsAddress says whether the interface is to have an address at all.
func (i Interface) wantsAddress() bool { return i.IPv4.Method != None || i.IPv6.Method != None }

// metric is what is added to the metrics of the routes of the interface at a position in the list.
func (i Interface) metric(position int) int {
	if i.Metric != 0 {
		return i.Metric
	}
	return position * metricStep
}

// metricStep leaves room for several routers behind one interface.
const metricStep = 100

// same says whether two descriptions of an interface are the same.
func (i Interface) same(other Interface) bool {
	a, b := i, other
	a.IPv4.Addresses, a.IPv6.Addresses, b.IPv4.Addresses, b.IPv6.Addresses = nil, nil, nil, nil
	return sameScalars(a, b) && slices.Equal(a.MAC, b.MAC) && slices.Equal(a.Routes, b.Routes) &&
		slices.Equal(i.IPv4.Addresses, other.IPv4.Addresses) && slices.Equal(i.IPv6.Addresses, other.IPv6.Addresses)
}

func sameScalars(a, b Interface) bool {
	return a.Bridge == b.Bridge && a.NIC == b.NIC && a.VLAN == b.VLAN && a.MTU == b.MTU && a.Metric == b.Metric &&
		a.IPv4.Method == b.IPv4.Method && a.IPv4.Gateway == b.IPv4.Gateway &&
		a.IPv6.Method == b.IPv6.Method && a.IPv6.Gateway == b.IPv6.Gateway
}

// names says whether a link is the one that ref names: by its name, another name or its MAC. Several links have the
// MAC of a NIC, and only the NIC itself is wired.
func names(ref string, link netlink.Link, wired bool) bool {
	attrs := link.Attrs()
	if attrs.Name == ref || slices.Contains(attrs.AltNames, ref) {
		return true
	}
	mac, err := net.ParseMAC(ref)
	return err == nil && wired && slices.Equal(mac, permanentMAC(attrs))
}

// permanentMAC is the MAC that a NIC was made with: a bond gives all its members one and the same.
func permanentMAC(attrs *netlink.LinkAttrs) net.HardwareAddr {
	if len(attrs.PermHWAddr) == len(attrs.HardwareAddr) && !isZero(attrs.PermHWAddr) {
		return attrs.PermHWAddr
	}
	return attrs.HardwareAddr
}

func isZero(mac net.HardwareAddr) bool {
	return !slices.ContainsFunc(mac, func(b byte) bool { return b != 0 })
}
