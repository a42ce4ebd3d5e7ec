package netcfg

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/vishvananda/netlink"
)

// static is a bridge over a NIC with a static address.
func static(bridge, nic, address string) Interface {
	return Interface{
		Bridge: bridge, NIC: nic, IPv4: IPv4{Method: Static, Addresses: []netip.Prefix{netip.MustParsePrefix(address)}},
	}
}

func TestStaticAddresses(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		l := plugNIC(t, "eth0", serverAddress+"/24")
		want := static(bridgeName, "eth0", "192.0.2.50/24")
		want.IPv4.Gateway, want.MTU = router1, 1400
		want.IPv6 = IPv6{
			Method: Static, Gateway: routerAddress,
			Addresses: []netip.Prefix{netip.MustParsePrefix("2001:db8:1::50/64")},
		}
		router := l.route6(routerPolicy{prefix: netip.MustParsePrefix("2001:db8:2::/64"), lifetime: 1800})
		e := manage(t, Options{Network: Network{Interfaces: []Interface{want}}, Sys: wired("eth0")})
		e.await(EventAddress, EventNIC)
		e.await(EventAddress, EventNIC)
		router.mu.Lock()
		router.advertise() // nobody asked for it
		router.mu.Unlock()
		have := must(readInstalled(bridgeName))(t)
		local := slaac(t, linkLocal)
		wanted := []netip.Prefix{want.IPv4.Addresses[0], want.IPv6.Addresses[0], local}
		slices.SortFunc(have.Addresses, netip.Prefix.Compare)
		slices.SortFunc(wanted, netip.Prefix.Compare)
		if !slices.Equal(have.Addresses, wanted) || have.MTU != 1400 {
			t.Errorf("addresses %v, MTU %d", have.Addresses, have.MTU)
		}
		if got := fmt.Sprint(have.Routes); got != "[0.0.0.0/0 via 192.0.2.1 ::/0 via fe80::1 metric 1024]" {
			t.Errorf("routes %s", got)
		}
	})
}

// A bridge has a MAC and routes of its own, and they are there again after somebody has removed the bridge. With a
// lease in place of an address the routes come with it.
func TestRoutesAndMAC(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		serveLAN(t, "eth0", policy{address: "192.0.2.50", seconds: 3600})
		mac := must(net.ParseMAC("52:54:00:00:00:77"))(t)
		want := static(bridgeName, "eth0", "192.0.2.51/24")
		want.MAC = mac
		want.Routes = []Route{
			{Destination: netip.MustParsePrefix("198.51.100.0/24"), Gateway: router1},
			{Destination: netip.MustParsePrefix("2001:db8:9::/48"), Gateway: routerAddress}, // there is no IPv6
		}
		e := manage(t, Options{Network: Network{Interfaces: []Interface{want}}, Sys: wired("eth0")})
		e.await(EventAddress, EventNIC)
		expect := func(address, routes string) {
			t.Helper()
			link := must(netlink.LinkByName(bridgeName))(t)
			have := must(readInstalled(bridgeName))(t)
			if got := fmt.Sprint(have.Routes); got != routes || !slices.Equal(link.Attrs().HardwareAddr, mac) ||
				addresses(t, bridgeName) != address {
				t.Errorf("MAC %s, %s, routes %s", link.Attrs().HardwareAddr, addresses(t, bridgeName), got)
			}
		}
		expect("192.0.2.51/24", "[198.51.100.0/24 via 192.0.2.1]")
		check(t, netlink.LinkDel(must(netlink.LinkByName(bridgeName))(t)))
		awaitValue(t, "1", func() string {
			have, _ := readInstalled(bridgeName)
			return fmt.Sprint(len(have.Routes))
		})
		expect("192.0.2.51/24", "[198.51.100.0/24 via 192.0.2.1]")

		want.IPv4 = IPv4{Method: Auto}
		e.apply(Network{Interfaces: []Interface{want}})
		e.await(EventLease, EventNIC, EventAddress, EventAddressGone)
		have := must(readInstalled(bridgeName))(t)
		ours := Route{Destination: want.Routes[0].Destination, Gateway: router1}
		if !slices.Contains(have.Routes, ours) {
			t.Errorf("routes %v", have.Routes)
		}
	})
}

// Another host has the static address: that is said, and the address is used.
func TestStaticAddressClashes(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		l := plugNIC(t, "eth0", serverAddress+"/24")
		check(t, l.handle.AddrAdd(l.port, must(netlink.ParseAddr("192.0.2.50/24"))(t)))
		e := manage(t, Options{
			Network: Network{Interfaces: []Interface{static(bridgeName, "eth0", "192.0.2.50/24")}}, Sys: wired("eth0"),
		})
		conflict := e.await(EventConflict, EventNIC, EventAddress)
		said := conflict.Err.Error()
		if conflict.Address.String() != "192.0.2.50/32" || !strings.Contains(said, "another host, with MAC") {
			t.Errorf("conflict %+v", conflict)
		}
		if got := addresses(t, bridgeName); got != "192.0.2.50/24" {
			t.Errorf("addresses %s", got)
		}
	})
}

// A bridge per NIC: one that is named by its MAC and has a static address, and one with DHCP, whose route is the
// second best. Name servers come in the order of the interfaces, behind the one that is configured.
func TestBridgePerNIC(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		plugNIC(t, "eth0", serverAddress+"/24")
		serveLAN(t, "eth1", policy{address: "192.0.2.77", seconds: 3600, options: []dhcpv4.Option{
			dhcpv4.OptDNS(net.ParseIP("192.0.2.3")),
		}})
		mac := must(netlink.LinkByName("eth0"))(t).Attrs().HardwareAddr.String()
		first := static("xenbr0", mac, "198.51.100.5/24")
		first.IPv4.Gateway = netip.MustParseAddr("198.51.100.1")
		second := Interface{Bridge: "xenbr1", NIC: AutoNIC, IPv4: IPv4{Method: Auto}}
		third := Interface{Bridge: "xenbr2", NIC: NoNIC}
		e := manage(t, Options{
			Network: Network{
				Interfaces: []Interface{first, second, third}, DNS: []netip.Addr{netip.MustParseAddr("198.51.100.9")},
			},
			Sys: wired("eth0", "eth1"),
		})
		lease := e.await(EventLease, EventNIC, EventAddress)
		if lease.Interface != "xenbr1" || lease.NIC != "eth1" || lease.Primary {
			t.Errorf("lease %+v", lease)
		}
		if got := fmt.Sprint(ports(t, "xenbr0"), ports(t, "xenbr1"), ports(t, "xenbr2")); got != "[eth0] [eth1] []" {
			t.Errorf("ports %s", got)
		}
		have := must(readInstalled4("xenbr1"))(t)
		if got := fmt.Sprint(have.Routes); got != "[0.0.0.0/0 via 192.0.2.1 metric 100]" {
			t.Errorf("routes %s", got)
		}
		if routes := must(netlink.RouteGet(net.ParseIP("203.0.113.1")))(t); routes[0].Gw.String() != "198.51.100.1" {
			t.Errorf("route to the world %v", routes)
		}
		services, _ := e.services()
		if got := fmt.Sprint(services.DNS); got != "[198.51.100.9 192.0.2.3]" {
			t.Errorf("name servers %s", got)
		}
	})
}

// services asks the manager, which has ended then.
func (e *events) services() (Services, string) {
	e.stop()
	return e.m.services()
}

// The configuration comes late: the bridge with its guest and its lease stays, another bridge comes, then the first
// one's address becomes static, and the second goes.
func TestApply(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		s := serveLAN(t, "eth0", policy{address: "192.0.2.50", seconds: 3600})
		plugNIC(t, "eth1", serverAddress+"/24")
		plugNIC(t, "vif1.0", "192.0.2.60/24")
		network := DefaultNetwork("xenbr0")
		e := manage(t, Options{Network: network, Sys: wired("eth0", "eth1")})
		e.await(EventLease, EventNIC)
		check(t, AttachPort("xenbr0", "vif1.0", nil))
		index := must(netlink.LinkByName("xenbr0"))(t).Attrs().Index

		more := DefaultNetwork("xenbr0")
		more.Interfaces = append(more.Interfaces, static("xenbr1", "eth1", "198.51.100.5/24"))
		e.apply(more)
		must(netlink.LinkByName("xenbr1"))(t)
		if got := e.await(EventAddress, EventNIC).Interface; got != "xenbr1" {
			t.Errorf("address on %s", got)
		}
		e.apply(Network{Interfaces: []Interface{static("xenbr0", "eth0", "192.0.2.70/24")}})
		e.await(EventAddress, EventNIC, EventAddressGone, EventGone, EventLost)
		e.await(EventLost, EventNIC, EventAddressGone, EventGone)
		if got := addresses(t, "xenbr0"); got != "192.0.2.70/24" {
			t.Errorf("addresses %s", got)
		}
		if _, err := netlink.LinkByName("xenbr1"); !isNotFound(err) {
			t.Errorf("xenbr1: %v", err)
		}
		got := ports(t, "xenbr0")
		if slices.Sort(got); !slices.Equal(got, []string{"eth0", "vif1.0"}) {
			t.Errorf("ports %v", got)
		}
		if now := must(netlink.LinkByName("xenbr0"))(t).Attrs().Index; now != index {
			t.Error("the bridge was made anew")
		}
		if err := e.m.Apply(context.Background(), Network{Interfaces: []Interface{{Bridge: "a b"}}}); err == nil {
			t.Error("a bad network was applied")
		}
		if len(s.seen) > 3 {
			t.Errorf("%d messages for one lease", len(s.seen))
		}
	})
}

func (e *events) apply(network Network) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	check(e.t, e.m.Apply(ctx, network))
}

// A bridge that is wanted no more stays while a guest is in it.
func TestGuestKeepsItsBridge(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		plugNIC(t, "eth0", serverAddress+"/24")
		plugNIC(t, "vif1.0", "192.0.2.60/24")
		e := manage(t, Options{
			Network: Network{Interfaces: []Interface{static("xenbr0", "eth0", "192.0.2.70/24")}}, Sys: wired("eth0"),
		})
		e.await(EventAddress, EventNIC)
		check(t, AttachPort("xenbr0", "vif1.0", nil))
		e.apply(Network{Interfaces: []Interface{static("xenbr1", "eth0", "192.0.2.70/24")}})
		e.await(EventAddress, EventAddressGone, EventGone, EventNIC)
		if got := fmt.Sprint(ports(t, "xenbr0"), ports(t, "xenbr1"), addresses(t, "xenbr0")); got != "[vif1.0] [eth0]" {
			t.Errorf("got %s", got)
		}
	})
}

func TestTwoServers(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		s := serveLAN(t, "eth0", policy{address: "192.0.2.50", seconds: 3600, second: "192.0.2.9"})
		e := manage(t, Options{Network: DefaultNetwork(bridgeName), Sys: wired("eth0")})
		got := e.await(EventServers, EventLease, EventNIC).Err.Error() // the lease may come first or last
		if !strings.Contains(got, "2 DHCP servers answer: [192.0.2.1 192.0.2.9]") {
			t.Errorf("said %s", got)
		}
		s.await(t, "a DISCOVER", isDiscover)
	})
}

// A NIC without a server: that there is no address is said after some time, and that there is one after that; then
// the cable is pulled and put back.
func TestNoAddressForLong(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		l := plugNIC(t, "eth0", serverAddress+"/24")
		s := l.serve(policy{silent: true})
		e := manage(t, Options{Network: DefaultNetwork(bridgeName), Sys: wired("eth0")})
		any := func(Event) bool { return true }
		if got := e.awaitQuiet(EventNoAddress, any); got.Tried < quick.AddressWait {
			t.Errorf("event %+v", got)
		}
		s.set(func(p *policy) { p.silent, p.address, p.seconds = false, "192.0.2.50", 3600 })
		e.awaitQuiet(EventReachable, any)
		check(t, l.handle.LinkSetDown(l.port))
		e.awaitQuiet(EventLinkDown, any)
		check(t, l.handle.LinkSetUp(l.port))
		if got := e.awaitQuiet(EventLinkUp, any); !got.Status.Carrier {
			t.Errorf("event %+v", got)
		}
	})
}

// Without a bridge the address goes to whichever NIC has a server, and from there to another one with the cable.
func TestAnyNICItself(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		plugNIC(t, "eth0", serverAddress+"/24")
		second := plugNIC(t, "eth1", serverAddress+"/24")
		second.serve(policy{address: "192.0.2.50", seconds: 3600})
		third := plugNIC(t, "eth2", serverAddress+"/24")
		third.serve(policy{address: "192.0.2.51", seconds: 3600})
		e := manage(t, Options{Network: DirectNetwork(AutoNIC), Sys: wired("eth0", "eth1", "eth2")})
		lease := e.await(EventLease, EventNIC, EventNoLease)
		if lease.Interface != "eth1" || addresses(t, "eth1") != "192.0.2.50/24" {
			t.Errorf("lease %+v", lease)
		}
		check(t, second.handle.LinkSetDown(second.port))
		lease = e.await(EventLease, EventNIC, EventNoLease, EventLost)
		if lease.Interface != "eth2" || addresses(t, "eth1") != "" {
			t.Errorf("lease %+v, eth1 has %s", lease, addresses(t, "eth1"))
		}
	})
}
