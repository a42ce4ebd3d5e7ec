package netcfg

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// global returns the IPv6 addresses of a link that are not link-local, sorted.
func global(t *testing.T, name string) string {
	t.Helper()
	var all []string
	have := must(readInstalled(name))(t)
	for _, prefix := range have.Addresses {
		if prefix.Addr().Is6() && !prefix.Addr().IsLinkLocalUnicast() {
			all = append(all, prefix.String())
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// slaac is the address that the bridge over eth0 makes of a prefix.
func slaac(t *testing.T, prefix netip.Prefix) netip.Prefix {
	t.Helper()
	return netip.PrefixFrom(fromMAC(prefix, must(netlink.LinkByName("eth0"))(t).Attrs().HardwareAddr), 64)
}

// network6 is a network with IPv6 alone.
func network6() Network {
	network := DefaultNetwork(bridgeName)
	network.Interfaces[0].IPv4.Method = None
	return network
}

func TestAdvertisementFromNIC(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		resolv := filepath.Join(t.TempDir(), "resolv.conf")
		r := plugNIC(t, "eth0", serverAddress+"/24").route6(routerPolicy{prefix: lanPrefix, lifetime: 1800})
		e := manage(t, Options{Network: network6(), Sys: wired("eth0"), ResolvConf: resolv})
		event := e.await(EventAddress, EventNIC)
		want := slaac(t, lanPrefix)
		gateways := []netip.Addr{routerAddress}
		if event.Address != want || event.By != ByRA || !slices.Equal(event.Status.Gateways, gateways) {
			t.Errorf("event %+v, want %s", event, want)
		}
		if got := global(t, bridgeName); got != want.String() {
			t.Errorf("addresses %s", got)
		}
		have := must(readInstalled(bridgeName))(t)
		for _, route := range []Route{
			{Destination: lanPrefix, Metric: metric6},
			{Destination: netip.MustParsePrefix("::/0"), Gateway: routerAddress, Metric: metric6 + 1},
		} {
			if !slices.Contains(have.Routes, route) {
				t.Errorf("no route %s in %v", route, have.Routes)
			}
		}
		text := string(must(os.ReadFile(resolv))(t))
		if !strings.Contains(text, "search lan\nnameserver 2001:db8:1::53\n") {
			t.Errorf("resolv.conf: %s", text)
		}
		link := must(netlink.LinkByName(bridgeName))(t)
		for _, address := range must(netlink.AddrList(link, netlink.FAMILY_V6))(t) {
			if address.Flags&unix.IFA_F_TENTATIVE != 0 || want.Contains(addressOf(address)) && address.ValidLft > 7210 {
				t.Errorf("address %v", address)
			}
		}
		r.set(func(p *routerPolicy) { p.lifetime = 0 })
		r.mu.Lock()
		r.advertise()
		r.mu.Unlock()
		awaitValue(t, "false", func() string {
			have := must(readInstalled(bridgeName))(t)
			isDefault := func(r Route) bool { return r.Destination.Bits() == 0 }
			return map[bool]string{true: "true", false: "false"}[slices.ContainsFunc(have.Routes, isDefault)]
		})
	})
}

func addressOf(address netlink.Addr) netip.Addr {
	addr, _ := netip.AddrFromSlice(address.IP)
	return addr
}

// A guest advertises itself as a router, before and after the bridge has a NIC, and answers for dom0's addresses.
func TestGuestIsNoRouterForDom0(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		guestPrefix := netip.MustParsePrefix("2001:db8:bad::/64")
		lanRouter := plugNIC(t, "eth0", serverAddress+"/24").route6(routerPolicy{prefix: lanPrefix, lifetime: 1800})
		guest := plugNIC(t, "vif1.0", "192.0.2.50/24")
		address, local := slaac(t, lanPrefix), slaac(t, linkLocal)
		guestRouter := guest.route6(routerPolicy{
			prefix: guestPrefix, lifetime: 1800, flags: 0x80, taken: []netip.Addr{address.Addr(), local.Addr()},
			leases: []string{"2001:db8:bad::66"}, seconds: time.Hour,
		})
		check(t, Bridge{bridgeName}.Ensure())
		check(t, AttachPort(bridgeName, "vif1.0", nil))
		awaitUp(t, guest.handle, "lan-vif1.0")
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
					guestRouter.mu.Lock()
					guestRouter.advertise()
					for _, taken := range guestRouter.policy.taken {
						payload := append([]byte{neighbourAdvert, 0, 0, 0, 0x20, 0, 0, 0}, taken.AsSlice()...)
						guestRouter.send(packet6{taken, allNodes, unix.IPPROTO_ICMPV6, neighbourHops, payload}, 2, nil)
					}
					guestRouter.mu.Unlock()
				}
			}
		}()
		time.Sleep(200 * time.Millisecond) // long enough for a kernel that would listen
		e := manage(t, Options{Network: network6(), Sys: wired("eth0")})
		if got := e.await(EventAddress, EventNIC).Address; got != address {
			t.Errorf("address %s, want %s", got, address)
		}
		lanRouter.mu.Lock()
		lanRouter.advertise()
		lanRouter.mu.Unlock()
		time.Sleep(200 * time.Millisecond)
		if got := global(t, bridgeName); got != address.String() {
			t.Errorf("addresses %s", got)
		}
		routes := must(netlink.RouteList(must(netlink.LinkByName(bridgeName))(t), netlink.FAMILY_V6))(t)
		for _, route := range routes {
			gateway, ok := netip.AddrFromSlice(route.Gw)
			to := prefixFrom(route.Dst, netlink.FAMILY_V6)
			if ok && gateway != routerAddress || to.Bits() > 0 && to.Overlaps(guestPrefix) {
				t.Errorf("route %v", route)
			}
		}
		guestRouter.mu.Lock()
		defer guestRouter.mu.Unlock()
		if len(guestRouter.messages) > 0 {
			t.Errorf("the guest heard %v", guestRouter.messages)
		}
	})
}

func TestAddressOfPrefixIsTaken(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		l := plugNIC(t, "eth0", serverAddress+"/24")
		taken := slaac(t, lanPrefix)
		l.route6(routerPolicy{prefix: lanPrefix, lifetime: 1800, taken: []netip.Addr{taken.Addr()}})
		e := manage(t, Options{Network: network6(), Sys: wired("eth0")})
		conflict := e.await(EventConflict, EventNIC)
		if conflict.Address.Addr() != taken.Addr() || !strings.Contains(conflict.Err.Error(), "used by another host") {
			t.Errorf("conflict %+v", conflict)
		}
		e.awaitQuiet(EventStatus, func(e Event) bool { return len(e.Status.Gateways) == 1 })
		if got := global(t, bridgeName); got != "" {
			t.Errorf("addresses %s", got)
		}
	})
}

// awaitQuiet waits for an event of a kind that await passes over.
func (e *events) awaitQuiet(kind EventKind, fits func(Event) bool) Event {
	e.t.Helper()
	timeout := time.After(deadline)
	for {
		select {
		case event := <-e.all:
			if event.Kind == kind && fits(event) {
				return event
			}
		case <-timeout:
			e.t.Fatalf("no event %v", kind)
		}
	}
}

func TestDHCPv6GivesAddress(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		l := plugNIC(t, "eth0", serverAddress+"/24")
		r := l.route6(routerPolicy{
			lifetime: 1800, flags: 0x80, taken: []netip.Addr{netip.MustParseAddr("2001:db8:1::66")},
			leases: []string{"2001:db8:1::66", "2001:db8:1::67"}, seconds: 2 * time.Second,
		})
		e := manage(t, Options{Network: network6(), Sys: wired("eth0")})
		e.await(EventConflict, EventNIC)
		event := e.await(EventAddress)
		if event.Address.String() != "2001:db8:1::67/128" || event.By != ByDHCPv6 {
			t.Errorf("event %+v", event)
		}
		if !slices.Contains(event.Status.DNS, netip.MustParseAddr("2001:db8:1::5")) ||
			!slices.Contains(event.Status.Search, "six.example") {
			t.Errorf("status %+v", event.Status)
		}
		awaitValue(t, "true", func() string {
			return map[bool]string{true: "true", false: "false"}[r.heard(dhcpv6.MessageTypeRenew)]
		})
		r.mu.Lock()
		if want := []netip.Addr{netip.MustParseAddr("2001:db8:1::66")}; !slices.Equal(r.declined, want) {
			t.Errorf("declined %v", r.declined)
		}
		r.mu.Unlock()
		r.set(func(p *routerPolicy) { p.leases = nil }) // answers without an address from now on
		gone := e.await(EventAddressGone)
		if gone.Err == nil || gone.Address != event.Address {
			t.Errorf("gone %+v", gone)
		}
		if !r.heard(dhcpv6.MessageTypeRebind) {
			t.Error("no REBIND before the end")
		}
	})
}

// IPv6 is switched off while there is an address of a DHCPv6 server's: that goes, and nothing is wrong.
func TestIPv6IsSwitchedOff(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		l := plugNIC(t, "eth0", serverAddress+"/24")
		l.route6(routerPolicy{lifetime: 1800, flags: 0x80, leases: []string{"2001:db8:1::66"}, seconds: time.Hour})
		e := manage(t, Options{Network: network6(), Sys: wired("eth0")})
		address := e.await(EventAddress, EventNIC).Address
		network := network6()
		network.Interfaces[0].IPv6.Method = None
		e.apply(network)
		if gone := e.await(EventAddressGone); gone.Address != address || !errors.Is(gone.Err, errNotWanted) {
			t.Errorf("gone %+v", gone)
		}
	})
}

func TestDHCPv6GivesServicesAlone(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		l := plugNIC(t, "eth0", serverAddress+"/24")
		r := l.route6(routerPolicy{lifetime: 1800, flags: 0x40, prefix: lanPrefix})
		e := manage(t, Options{Network: network6(), Sys: wired("eth0")})
		e.await(EventAddress, EventNIC)
		e.awaitQuiet(EventStatus, func(e Event) bool {
			return slices.Contains(e.Status.DNS, netip.MustParseAddr("2001:db8:1::5"))
		})
		if r.heard(dhcpv6.MessageTypeSolicit) || !r.heard(dhcpv6.MessageTypeInformationRequest) {
			t.Errorf("messages %v", r.messages)
		}
	})
}

func TestNoIPv6(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		network := DefaultNetwork(bridgeName)
		network.Interfaces[0].IPv6.Method = None
		plugNIC(t, "eth0", serverAddress+"/24").serve(policy{address: "192.0.2.50", seconds: 3600})
		e := manage(t, Options{Network: network, Sys: wired("eth0")})
		e.await(EventLease, EventNIC)
		if got := must(readInstalled(bridgeName))(t).Addresses; len(got) != 1 {
			t.Errorf("addresses %v", got)
		}
	})
}

func TestSecondNICHasRouter(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		plugNIC(t, "eth0", serverAddress+"/24")
		plugNIC(t, "eth1", serverAddress+"/24").route6(routerPolicy{prefix: lanPrefix, lifetime: 1800})
		e := manage(t, Options{Network: DefaultNetwork(bridgeName), Sys: wired("eth0", "eth1")})
		if event := e.await(EventAddress, EventNIC, EventNoLease); event.NIC != "eth1" {
			t.Errorf("event %+v", event)
		}
	})
}
