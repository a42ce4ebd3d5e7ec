package netcfg

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// DefaultMTU is that of Ethernet, in bytes, in force while no lease says otherwise.
const DefaultMTU = 1500

// minMTU is what every host must be able to receive (RFC 791, section 3.1). Servers that
// offer less are misconfigured: TCP crawls or stops, so their value is left out.
const minMTU = 576

// maxHostname is Linux's limit (__NEW_UTS_LEN).
const maxHostname = 64

// Lease is what a DHCP server granted, checked and in the order of preference it gave.
type Lease struct {
	Address   netip.Prefix // the host's address with the prefix length of its subnet
	Broadcast netip.Addr   // invalid where the subnet has none (/31, /32)
	Server    netip.Addr   // server identifier, option 54, or siaddr
	Routes    []Route
	MTU       int          // bytes; 0 when the server gave none
	DNS       []netip.Addr // resolvers
	Search    []string     // domains, option 119, else 15
	Hostname  string       // empty when the server gave none, or not a host name
	NTP       []netip.Addr // time servers
	Times     Times

	message *dhcpv4.DHCPv4 // that it was read out of
}

// Route is one route of a lease.
type Route struct {
	Destination netip.Prefix // masked; 0.0.0.0/0 is the default route
	Gateway     netip.Addr   // invalid: on the link itself (RFC 3442's router 0.0.0.0)
	OnLink      bool         // the gateway lies outside the lease's subnet
	Metric      int          // 0 is the best
}

// Gateway returns the router of the best default route, or an invalid address when the lease
// has none.
func (l *Lease) Gateway() netip.Addr {
	for _, route := range l.Routes {
		if route.Destination.Bits() == 0 {
			return route.Gateway
		}
	}
	return netip.Addr{}
}

// ParseLease reads the lease out of an OFFER or ACK that arrived at the given time. An error
// means that the message cannot be used to configure a host at all; options that make no sense
// by themselves are left out. floor is [Timing.Floor]. Option numbers are those of RFC 2132, 3397 (search) and 3442
// (routes).
func ParseLease(message *dhcpv4.DHCPv4, arrived time.Time, floor time.Duration) (*Lease, error) {
	address, err := leaseAddress(message)
	if err != nil {
		return nil, err
	}
	server, ok := serverOf(message)
	if !ok {
		return nil, fmt.Errorf("lease of %s: no server identifier (option 54) and no siaddr", address)
	}
	return &Lease{
		Address:   address,
		Broadcast: leaseBroadcast(message, address),
		Server:    server,
		Routes:    leaseRoutes(message, address),
		MTU:       leaseMTU(message),
		DNS:       hostAddrs(message.DNS()),
		Search:    leaseSearch(message),
		Hostname:  leaseHostname(message),
		NTP:       hostAddrs(message.NTPServers()),
		Times:     leaseTimes(message, arrived, floor),
		message:   message,
	}, nil
}

// serverOf returns the server's identifier (option 54). Some servers leave it out; their address is in siaddr,
// where RFC 951 had it.
func serverOf(message *dhcpv4.DHCPv4) (netip.Addr, bool) {
	for _, ip := range []net.IP{message.ServerIdentifier(), message.ServerIPAddr} {
		if server, ok := addrFrom(ip); ok && isHost(server) {
			return server, true
		}
	}
	return netip.Addr{}, false
}

// leaseAddress joins yiaddr and the subnet mask (option 1). Without a mask the prefix is that
// of the address's class (RFC 950), which is all that a host then knows.
func leaseAddress(message *dhcpv4.DHCPv4) (netip.Prefix, error) {
	address, ok := addrFrom(message.YourIPAddr)
	if !ok || !isHost(address) {
		return netip.Prefix{}, fmt.Errorf("lease of %s: not an address for a host", message.YourIPAddr)
	}
	mask := message.SubnetMask()
	if mask == nil {
		mask = message.YourIPAddr.DefaultMask()
	}
	ones, bits := mask.Size()
	if bits != 32 || ones == 0 {
		return netip.Prefix{}, fmt.Errorf("lease of %s: subnet mask %s is not a prefix", address, net.IP(mask))
	}
	return netip.PrefixFrom(address, ones), nil
}

// leaseBroadcast takes option 28 if it lies in the subnet, else the subnet's last address.
func leaseBroadcast(message *dhcpv4.DHCPv4, address netip.Prefix) netip.Addr {
	if address.Bits() > 30 {
		return netip.Addr{}
	}
	if given, ok := addrFrom(message.BroadcastAddress()); ok && address.Contains(given) && given != address.Addr() {
		return given
	}
	return broadcastOf(address)
}

// broadcastOf returns the last address of a subnet, an invalid one where it has none (/31, /32).
func broadcastOf(address netip.Prefix) netip.Addr {
	if address.Bits() > 30 {
		return netip.Addr{}
	}
	last := address.Addr().As4()
	host := uint32(1)<<(32-address.Bits()) - 1
	binary.BigEndian.PutUint32(last[:], binary.BigEndian.Uint32(last[:])|host)
	return netip.AddrFrom4(last)
}

// leaseRoutes takes the classless static routes (option 121) if there are any, and ignores the
// routers (option 3) then, as RFC 3442 demands. Several routers become default routes of rising
// metric, so that the kernel has the next one at hand when the first is taken out. A router that is the host
// itself leads nowhere.
func leaseRoutes(message *dhcpv4.DHCPv4, address netip.Prefix) []Route {
	if classless := message.ClasslessStaticRoute(); len(classless) > 0 {
		return classlessRoutes(classless, address)
	}
	var routes []Route
	for _, router := range hostAddrs(message.Router()) {
		if router == address.Addr() {
			continue
		}
		routes = append(routes, Route{
			Destination: netip.PrefixFrom(netip.IPv4Unspecified(), 0),
			Gateway:     router,
			OnLink:      !address.Contains(router),
			Metric:      len(routes),
		})
	}
	return routes
}

// classlessRoutes turns option 121 into routes. Of several routes to one destination the first
// is the best.
func classlessRoutes(classless []*dhcpv4.Route, address netip.Prefix) []Route {
	var routes []Route
	metric := map[netip.Prefix]int{}
	for _, given := range classless {
		route, ok := classlessRoute(given, address)
		if !ok {
			continue
		}
		route.Metric = metric[route.Destination]
		metric[route.Destination]++
		routes = append(routes, route)
	}
	return routes
}

// classlessRoute masks the destination (RFC 3442: bits outside of the mask mean nothing) and
// reads router 0.0.0.0 as "on this link".
func classlessRoute(given *dhcpv4.Route, address netip.Prefix) (Route, bool) {
	destination, ok := addrFrom(given.Dest.IP)
	if !ok {
		return Route{}, false
	}
	ones, _ := given.Dest.Mask.Size()
	route := Route{Destination: netip.PrefixFrom(destination, ones).Masked()}
	gateway, ok := addrFrom(given.Router)
	if !ok {
		return Route{}, false
	}
	if gateway.IsUnspecified() {
		return route, route.Destination != address.Masked() // the kernel makes the subnet's own
	}
	route.Gateway, route.OnLink = gateway, !address.Contains(gateway)
	return route, isHost(gateway) && gateway != address.Addr()
}

// leaseMTU reads option 26; 0 when it is missing or too small to be meant.
func leaseMTU(message *dhcpv4.DHCPv4) int {
	mtu, err := dhcpv4.GetUint16(dhcpv4.OptionInterfaceMTU, message.Options)
	if err != nil || mtu < minMTU {
		return 0
	}
	return int(mtu)
}

// leaseSearch takes the search list (option 119), else the domain name (option 15), in which
// some servers put several names. What is no domain name is dropped: these bytes end up as
// lines of resolv.conf.
func leaseSearch(message *dhcpv4.DHCPv4) []string {
	names := strings.Fields(strings.TrimRight(message.DomainName(), "\x00"))
	if list := message.DomainSearch(); list != nil && len(list.Labels) > 0 {
		names = list.Labels
	}
	var search []string
	for _, name := range names {
		name = strings.TrimSuffix(name, ".")
		if isDomain(name) && !slices.Contains(search, name) {
			search = append(search, name)
		}
	}
	return search
}

// leaseHostname reads option 12.
func leaseHostname(message *dhcpv4.DHCPv4) string {
	name := strings.TrimSuffix(message.HostName(), ".")
	if !isDomain(name) || len(name) > maxHostname || strings.Contains(name, "_") {
		return ""
	}
	return name
}

// isDomain says whether name consists of labels of 1 to 63 letters, digits, hyphens and
// underscores, 253 bytes at most (RFC 1123, section 2.1; the underscore is seen in search lists).
func isDomain(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return true
}

func isLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(label, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
	})
}

// hostAddrs keeps the addresses that can be a host's, once each, in their order.
func hostAddrs(ips []net.IP) []netip.Addr {
	var addrs []netip.Addr
	for _, ip := range ips {
		if addr, ok := addrFrom(ip); ok && isHost(addr) && !slices.Contains(addrs, addr) {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// isHost says whether an IPv4 address can be some host's on a network.
func isHost(addr netip.Addr) bool {
	return addr.Is4() && !addr.IsUnspecified() && !addr.IsMulticast() && !addr.IsLoopback() && addr.As4()[0] < 240
}

// addrFrom converts an IPv4 address of package net.
func addrFrom(ip net.IP) (netip.Addr, bool) {
	addr, ok := netip.AddrFromSlice(ip)
	addr = addr.Unmap()
	return addr, ok && addr.Is4()
}
