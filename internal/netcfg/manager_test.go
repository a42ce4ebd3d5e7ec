package netcfg

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/vishvananda/netlink"
)

const bridgeName = "xenbr0"

func isDiscover(m seen) bool { return m.MessageType() == dhcpv4.MessageTypeDiscover }

// isExtension accepts a REQUEST of a client that has an address.
func isExtension(m seen) bool {
	return m.MessageType() == dhcpv4.MessageTypeRequest && !m.ClientIPAddr.IsUnspecified()
}

func isUnicast(m seen) bool { return isExtension(m) && !m.from.Equal(net.IPv4bcast) }

func isBroadcast(m seen) bool { return isExtension(m) && m.from.Equal(net.IPv4bcast) }

// renewal gives a lease its T1 and T2, in seconds.
func renewal(t1, t2 byte) []dhcpv4.Option {
	return []dhcpv4.Option{raw(58, 0, 0, 0, t1), raw(59, 0, 0, 0, t2)}
}

func TestBridgeGetsLease(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		dir := t.TempDir()
		s := serveLAN(t, "eth0", policy{address: "192.0.2.50", seconds: 3600, options: []dhcpv4.Option{
			dhcpv4.OptDNS(net.ParseIP("192.0.2.3")),
			dhcpv4.OptDomainName("example.org"),
			dhcpv4.OptHostName("host7"),
			dhcpv4.OptNTPServers(net.ParseIP("192.0.2.4")),
			dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, dhcpv4.Uint16(1400).ToBytes()),
		}})
		e := manage(t, Options{
			Network: DefaultNetwork(bridgeName), Sys: wired("eth0"), Hostname: "zerodisc", SetHostname: true,
			ResolvConf:  filepath.Join(dir, "etc/resolv.conf"),
			TimeServers: filepath.Join(dir, "run/ntp"),
		})
		if nic := e.await(EventNIC).NIC; nic != "eth0" {
			t.Errorf("NIC %s", nic)
		}
		event := e.await(EventLease)
		if lo, err := net.InterfaceByName("lo"); err != nil || lo.Flags&net.FlagUp == 0 {
			t.Error("lo is not up: ", err)
		}
		if got, want := event.Lease.Gateway(), netip.MustParseAddr(serverAddress); got != want {
			t.Errorf("gateway %s, want %s", got, want)
		}
		discover := s.await(t, "a DISCOVER", isDiscover)
		if discover.HostName() != "zerodisc" || !discover.Options.Has(dhcpv4.OptionClientIdentifier) {
			t.Errorf("DISCOVER lacks host name or client identifier: %s", discover.Summary())
		}
		assertConfigured(t, dir)
		assertBridge(t)
		assertGuestChangesNothing(t)
	})
}

// assertConfigured checks what the lease of TestBridgeGetsLease leads to.
func assertConfigured(t *testing.T, dir string) {
	t.Helper()
	if got := addresses(t, bridgeName); got != "192.0.2.50/24" {
		t.Errorf("addresses %v", got)
	}
	if routes := must(netlink.RouteGet(net.ParseIP("198.51.100.1")))(t); routes[0].Gw.String() != serverAddress {
		t.Errorf("route to the world: %v", routes)
	}
	resolv := string(must(os.ReadFile(filepath.Join(dir, "etc/resolv.conf")))(t))
	if !strings.Contains(resolv, "search example.org\nnameserver 192.0.2.3\n") {
		t.Errorf("resolv.conf: %q", resolv)
	}
	if got := string(must(os.ReadFile(filepath.Join(dir, "run/ntp")))(t)); got != "192.0.2.4\n" {
		t.Errorf("NTP servers: %q", got)
	}
	if got := must(os.Hostname())(t); got != "host7" {
		t.Errorf("host name %q", got)
	}
}

// assertBridge checks how the bridge is set up.
func assertBridge(t *testing.T) {
	t.Helper()
	bridge := must(netlink.LinkByName(bridgeName))(t).Attrs()
	nic := must(netlink.LinkByName("eth0"))(t).Attrs()
	if bridge.HardwareAddr.String() != nic.HardwareAddr.String() || bridge.MTU != 1400 || nic.MTU != 1400 {
		t.Errorf("bridge has MAC %s and MTU %d, its NIC %s and %d",
			bridge.HardwareAddr, bridge.MTU, nic.HardwareAddr, nic.MTU)
	}
	details, err := exec.Command("ip", "-d", "link", "show", bridgeName).CombinedOutput()
	if err != nil {
		t.Logf("bridge parameters not checked: %v", err)
		return
	}
	for _, want := range []string{"forward_delay 0 ", "stp_state 0 ", "mcast_snooping 0 "} {
		if !strings.Contains(string(details), want) {
			t.Errorf("bridge without %q: %s", want, details)
		}
	}
}

// assertGuestChangesNothing attaches a port whose MAC is the lowest and whose MTU is the smallest,
// both of which a bridge would take over.
func assertGuestChangesNothing(t *testing.T) {
	t.Helper()
	before := must(netlink.LinkByName(bridgeName))(t).Attrs()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = "vif1.0", 600, net.HardwareAddr{0, 0, 0, 0, 0, 1}
	check(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "guest"}))
	check(t, AttachPort(bridgeName, "vif1.0", nil))
	after := must(netlink.LinkByName(bridgeName))(t).Attrs()
	if after.MTU != before.MTU || after.HardwareAddr.String() != before.HardwareAddr.String() {
		t.Errorf("bridge had MAC %s, MTU %d; has %s, %d",
			before.HardwareAddr, before.MTU, after.HardwareAddr, after.MTU)
	}
	if vif := must(netlink.LinkByName("vif1.0"))(t).Attrs(); vif.MTU != before.MTU || vif.Flags&net.FlagUp == 0 {
		t.Errorf("vif has MTU %d, flags %s", vif.MTU, vif.Flags)
	}
	if got := ports(t, bridgeName); !slices.Contains(got, "vif1.0") {
		t.Errorf("ports %v", got)
	}
}

func TestAttachPortWithoutBridge(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		err := AttachPort("xenbr9", "lo", nil)
		if err == nil || !strings.Contains(err.Error(), "bridge xenbr9 does not exist") {
			t.Errorf("got %v", err)
		}
		if err := AttachPort("lo", "lo", nil); err == nil || !strings.Contains(err.Error(), "of type") {
			t.Errorf("got %v", err)
		}
	})
}

func TestRenewal(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		s := serveLAN(t, "eth0", policy{address: "192.0.2.50", seconds: 8, options: renewal(1, 5)})
		e := manage(t, Options{Network: DefaultNetwork(bridgeName), Sys: wired("eth0")})
		e.await(EventLease, EventNIC)
		got := s.await(t, "a unicast renewal", isUnicast)
		if got.from.String() != "192.0.2.50" || got.ServerIdentifier() != nil {
			t.Errorf("renewal from %s: %s", got.from, got.Summary())
		}
		e.await(EventRenewed)
		s.set(func(p *policy) { p.address = "192.0.2.51" })
		e.await(EventLease, EventRenewed)
		if got := addresses(t, bridgeName); got != "192.0.2.51/24" {
			t.Errorf("after renumbering: addresses %v", got)
		}
		if routes := must(netlink.RouteGet(net.ParseIP("198.51.100.1")))(t); routes[0].Src.String() != "192.0.2.51" {
			t.Errorf("after renumbering: route to the world %v", routes)
		}
	})
}

// The NAK is broadcast, long before the client would broadcast anything itself.
func TestRefusedRenewal(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		s := serveLAN(t, "eth0", policy{
			address: "192.0.2.50", seconds: 60, options: renewal(1, 50),
		})
		e := manage(t, Options{Network: DefaultNetwork(bridgeName), Sys: wired("eth0")})
		e.await(EventLease, EventNIC)
		s.set(func(p *policy) { p.refuse = true })
		lost := e.await(EventLost, EventRenewed)
		if !strings.Contains(lost.Err.Error(), "refused 192.0.2.50") {
			t.Errorf("lost because of %v", lost.Err)
		}
		e.await(EventNoLease) // OFFERs are followed by NAKs meanwhile
		s.set(func(p *policy) { p.refuse, p.address = false, "192.0.2.60" })
		if got := e.await(EventLease, EventNoLease).Lease.Address.String(); got != "192.0.2.60/24" {
			t.Errorf("new address %s", got)
		}
	})
}

func TestServerDies(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		s := serveLAN(t, "eth0", policy{address: "192.0.2.50", seconds: 4, options: renewal(1, 2)})
		e := manage(t, Options{Network: DefaultNetwork(bridgeName), Sys: wired("eth0")})
		e.await(EventLease, EventNIC)
		s.set(func(p *policy) { p.silent = true })
		s.await(t, "a renewal", isUnicast)
		s.await(t, "a rebinding", isBroadcast)
		e.await(EventLost, EventRenewed)
		if got := addresses(t, bridgeName); got != "" {
			t.Errorf("after expiry: addresses %v", got)
		}
		s.await(t, "a DISCOVER after expiry", isDiscover)
		s.set(func(p *policy) { p.silent = false })
		e.await(EventLease, EventNoLease)
	})
}

func TestRebindsToAnotherServer(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		s := serveLAN(t, "eth0", policy{address: "192.0.2.50", seconds: 7, options: renewal(1, 2)})
		e := manage(t, Options{Network: DefaultNetwork(bridgeName), Sys: wired("eth0")})
		e.await(EventLease, EventNIC)
		s.set(func(p *policy) { p.silent = true })
		s.await(t, "a rebinding", isBroadcast)
		s.set(func(p *policy) { p.silent = false })
		e.await(EventRenewed)
	})
}

func TestSecondNICHasServer(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		first := serveLAN(t, "eth0", policy{silent: true})
		serveLAN(t, "eth1", policy{address: "192.0.2.50", seconds: 3600})
		e := manage(t, Options{Network: DefaultNetwork(bridgeName), Sys: wired("eth0", "eth1")})
		if got := e.await(EventNIC).NIC; got != "eth0" {
			t.Errorf("first tried %s", got)
		}
		first.await(t, "a DISCOVER", isDiscover)
		if got := e.await(EventNIC, EventNoLease).NIC; got != "eth1" {
			t.Errorf("then tried %s", got)
		}
		e.await(EventLease)
		if got := ports(t, bridgeName); !slices.Equal(got, []string{"eth1"}) {
			t.Errorf("ports %v", got)
		}
	})
}

// Of 40 NICs, all with a cable, the last leads to a DHCP server. The time that this takes is that of one NIC, and not
// of 39 before it.
func TestLastOfManyNICsHasServer(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		const count = 40
		var nics []string
		for i := range count {
			nics = append(nics, fmt.Sprintf("eth%d", i))
			if i < count-1 {
				plugNIC(t, nics[i], serverAddress+"/24")
			}
		}
		serveLAN(t, nics[count-1], policy{address: "192.0.2.50", seconds: 3600})
		start := time.Now()
		e := manage(t, Options{Network: DefaultNetwork(bridgeName), Sys: wired(nics...)})
		lease := e.await(EventLease, EventNIC, EventNoLease)
		t.Logf("lease through %s after %s", lease.NIC, time.Since(start))
		if lease.NIC != nics[count-1] {
			t.Errorf("lease through %s", lease.NIC)
		}
		if took, oneByOne := time.Since(start), count*quick.ServerWait; took > oneByOne/2 {
			t.Errorf("took %s; one by one it would be %s", took, oneByOne)
		}
	})
}

func TestNICAppearsAndGoes(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		e := manage(t, Options{Network: DefaultNetwork(bridgeName), Sys: wired("eth0")})
		if got := e.await(EventNoNIC); got.Err != errNoNIC {
			t.Errorf("got %v", got.Err)
		}
		must(netlink.LinkByName(bridgeName))(t)
		serveLAN(t, "eth0", policy{address: "192.0.2.50", seconds: 3600})
		e.await(EventNIC)
		e.await(EventLease)
		check(t, netlink.LinkDel(must(netlink.LinkByName("eth0"))(t)))
		e.await(EventLost, EventProblem) // who is just looking at the NIC finds it gone
		e.await(EventNoNIC, EventProblem)
		if got := addresses(t, bridgeName); got != "" {
			t.Errorf("addresses %v", got)
		}
	})
}

func TestBootIFStays(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		serveLAN(t, "eth0", policy{address: "192.0.2.50", seconds: 3600})
		named := serveLAN(t, "eth1", policy{address: "192.0.2.70", seconds: 3600, silent: true})
		mac := must(netlink.LinkByName("eth1"))(t).Attrs().HardwareAddr.String()
		bootIF := "01-" + strings.ReplaceAll(mac, ":", "-")
		e := manage(t, Options{Network: DefaultNetwork(bridgeName), Sys: wired("eth0", "eth1"), BootIF: bootIF})
		if got := e.await(EventNIC).NIC; got != "eth1" {
			t.Errorf("took %s", got)
		}
		e.await(EventNoLease)
		e.await(EventNoLease)
		named.set(func(p *policy) { p.silent = false })
		if got := e.await(EventLease, EventNoLease).Lease.Address.String(); got != "192.0.2.70/24" {
			t.Errorf("address %s", got)
		}
	})
}

func TestCarrierReturns(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		network := plugNIC(t, "eth0", serverAddress+"/24")
		s := network.serve(policy{address: "192.0.2.50", seconds: 3600})
		e := manage(t, Options{Network: DefaultNetwork(bridgeName), Sys: wired("eth0")})
		e.await(EventLease, EventNIC)
		check(t, network.handle.LinkSetDown(network.port))
		check(t, network.handle.LinkSetUp(network.port))
		s.await(t, "a DISCOVER that asks for the same address", func(m seen) bool {
			return isDiscover(m) && m.RequestedIPAddress().Equal(net.ParseIP("192.0.2.50"))
		})
		e.await(EventRenewed)
	})
}

func TestCableMovesToOtherNIC(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		first := plugNIC(t, "eth0", serverAddress+"/24")
		first.serve(policy{address: "192.0.2.50", seconds: 3600})
		second := plugNIC(t, "eth1", serverAddress+"/24")
		second.serve(policy{address: "192.0.2.70", seconds: 3600})
		check(t, second.handle.LinkSetDown(second.port))
		e := manage(t, Options{Network: DefaultNetwork(bridgeName), Sys: wired("eth0", "eth1")})
		e.await(EventLease, EventNIC)
		check(t, first.handle.LinkSetDown(first.port))
		check(t, second.handle.LinkSetUp(second.port))
		e.await(EventLost)
		if got := e.await(EventNIC).NIC; got != "eth1" {
			t.Errorf("took %s", got)
		}
		if got := e.await(EventLease).Lease.Address.String(); got != "192.0.2.70/24" {
			t.Errorf("address %s", got)
		}
	})
}

func TestLaterRunTakesOver(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		serveLAN(t, "eth0", policy{address: "192.0.2.50", seconds: 3600})
		options := Options{Network: DefaultNetwork(bridgeName), Sys: wired("eth0")}
		earlier := manage(t, options)
		earlier.await(EventLease, EventNIC)
		earlier.stop()
		if got := addresses(t, bridgeName); got != "192.0.2.50/24" {
			t.Fatalf("a run that ended left addresses %v", got)
		}
		later := manage(t, options)
		later.await(EventLease, EventNIC)
		if got := addresses(t, bridgeName); got != "192.0.2.50/24" {
			t.Errorf("addresses %v", got)
		}
	})
}

// A later run, of an init that goes on after a crash say, keeps the NIC by which guests talk, though another one would
// come first.
func TestLaterRunKeepsTheNIC(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		serveLAN(t, "eth0", policy{silent: true})
		serveLAN(t, "eth1", policy{address: "192.0.2.50", seconds: 3600})
		options := Options{Network: DefaultNetwork(bridgeName), Sys: wired("eth0", "eth1")}
		earlier := manage(t, options)
		earlier.await(EventLease, EventNIC, EventNoLease)
		earlier.stop()
		later := manage(t, options)
		if got := later.await(EventNIC).NIC; got != "eth1" {
			t.Errorf("took %s", got)
		}
		later.await(EventLease)
		if got := ports(t, bridgeName); !slices.Equal(got, []string{"eth1"}) {
			t.Errorf("ports %v", got)
		}
	})
}

func TestInterfaceWithoutBridge(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		e := manage(t, Options{Network: DirectNetwork("eth0")})
		e.await(EventNoNIC)
		serveLAN(t, "eth0", policy{address: "192.0.2.50", seconds: 3600})
		e.await(EventNIC)
		e.await(EventLease)
		if got := addresses(t, "eth0"); got != "192.0.2.50/24" {
			t.Errorf("addresses %v", got)
		}
		check(t, netlink.LinkDel(must(netlink.LinkByName("eth0"))(t)))
		e.await(EventLost, EventProblem)
		e.await(EventNoNIC, EventProblem)
	})
}

// The LAN's own server is not to be reached, and a guest answers in its place, as if it had heard the DISCOVER.
func TestGuestIsNoDHCPServerForDom0(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		lanServer := serveLAN(t, "eth0", policy{silent: true})
		guest := plugNIC(t, "vif1.0", serverAddress+"/24")
		guestServer := guest.serve(policy{address: "192.0.2.66", seconds: 3600})
		check(t, Bridge{bridgeName}.Ensure())
		check(t, AttachPort(bridgeName, "vif1.0", nil))
		e := manage(t, Options{Network: DefaultNetwork(bridgeName), Sys: wired("eth0")})
		e.await(EventNIC)
		for range 3 {
			discover := lanServer.await(t, "a DISCOVER", isDiscover)
			offer := guestServer.policy.answer(discover.DHCPv4)
			guestServer.send(offer, &net.UDPAddr{IP: net.IPv4bcast, Port: dhcpv4.ClientPort})
		}
		e.await(EventNoLease)
		if len(guestServer.seen) > 0 {
			t.Errorf("the guest heard dom0's %s", (<-guestServer.seen).Summary())
		}
		lanServer.set(func(p *policy) { p.silent, p.address = false, "192.0.2.50" })
		if got := e.await(EventLease, EventNoLease).Lease.Address.String(); got != "192.0.2.50/24" {
			t.Errorf("dom0 has %s", got)
		}
	})
}

// Some servers name themselves in siaddr alone, say what does not fit in the fields file and sname, and leave
// out of a renewal what has not changed.
func TestServerOfFewWords(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		s := serveLAN(t, "eth0", policy{
			address: "192.0.2.50", seconds: 60, options: renewal(1, 50),
			terse: true,
		})
		e := manage(t, Options{Network: DefaultNetwork(bridgeName), Sys: wired("eth0")})
		e.await(EventNIC)
		first := e.await(EventLease).Lease
		s.await(t, "a renewal", isUnicast)
		renewed := e.await(EventRenewed).Lease
		for _, lease := range []*Lease{first, renewed} {
			resolvers, search := fmt.Sprint(lease.DNS), fmt.Sprint(lease.Search)
			if lease.Gateway() != router1 || resolvers != "[192.0.2.3]" || search != "[example]" || lease.MTU != 1400 {
				t.Errorf("gateway %s, resolvers %s, search %s, MTU %d", lease.Gateway(), resolvers, search, lease.MTU)
			}
			if lease.Server != router1 || lease.Times.Length != time.Minute {
				t.Errorf("server %s, length %s", lease.Server, lease.Times.Length)
			}
		}
	})
}

// A person sets the bridge down and up again (the kernel drops its routes), flushes its addresses, sets another MTU,
// takes the NIC out and deletes the bridge.
func TestLeaseIsMended(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		serveLAN(t, "eth0", policy{
			address: "192.0.2.50", seconds: 3600, options: []dhcpv4.Option{raw(26, 5, 120)},
		})
		e := manage(t, Options{Network: DefaultNetwork(bridgeName), Sys: wired("eth0")})
		e.await(EventLease, EventNIC)
		link := must(netlink.LinkByName(bridgeName))(t)
		check(t, netlink.LinkSetDown(link))
		check(t, netlink.LinkSetUp(link))
		awaitMended(t)
		for _, address := range must(netlink.AddrList(link, netlink.FAMILY_V4))(t) {
			check(t, netlink.AddrDel(link, &address))
		}
		awaitMended(t)
		check(t, netlink.LinkSetMTU(must(netlink.LinkByName("eth0"))(t), 1500))
		awaitMended(t)
		check(t, netlink.LinkSetNoMaster(must(netlink.LinkByName("eth0"))(t)))
		awaitPlugged(t)
		check(t, netlink.LinkDel(link))
		awaitPlugged(t)
		awaitMended(t)
	})
}

// awaitMended waits until the kernel has all of a lease of 192.0.2.50 with an MTU of 1400.
func awaitMended(t *testing.T) {
	t.Helper()
	awaitValue(t, "true 1400 [192.0.2.50/24] [0.0.0.0/0 via 192.0.2.1] <nil>", func() string {
		have, err := readInstalled4(bridgeName)
		return fmt.Sprint(have.Up, have.MTU, have.Addresses, have.Routes, err)
	})
}

// awaitPlugged waits until eth0 is in the bridge.
func awaitPlugged(t *testing.T) {
	t.Helper()
	index := must(netlink.LinkByName("eth0"))(t).Attrs().Index
	awaitValue(t, "true", func() string { return fmt.Sprint(Bridge{bridgeName}.has(index)) })
}

func awaitValue(t *testing.T, want string, read func() string) {
	t.Helper()
	var got string
	for end := soon(); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if got = read(); got == want {
			return
		}
	}
	t.Fatalf("the kernel has %s, want %s", got, want)
}

// The address that the server gives cannot be set (here because the bridge has gone): it is no lease, and the
// reason shows; when it can be set after all it is one.
func TestRefusedAddressIsNoLease(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		var events []Event
		m := must(NewManager(Options{Network: DefaultNetwork(bridgeName), Report: func(e Event) {
			events = append(events, e)
		}}))(t)
		m.adopt(m.options.Network)
		u := m.uplinks[0]
		lease := parse(t, ack())
		u.applyLease(lease)
		u.applyLease(renewed(parse(t, ack())))
		if len(events) != 0 || !strings.Contains(u.whyNoLease().Error(), "set address 192.0.2.50/24") {
			t.Errorf("events %v, no lease because: %v", events, u.whyNoLease())
		}
		check(t, Bridge{bridgeName}.Ensure())
		m.looked = time.Now()
		u.mend()
		if last := events[len(events)-1]; last.Kind != EventLease || u.whyNoLease() != errAsking {
			t.Errorf("events %v, no lease because: %v", events, u.whyNoLease())
		}
		check(t, netlink.LinkDel(must(netlink.LinkByName(bridgeName))(t)))
		u.applyLease(renewed(parse(t, ack())))
		if last := events[len(events)-1]; last.Kind != EventLost || u.held.inForce() {
			t.Errorf("events %v", events)
		}
	})
}

// readInstalled4 is readInstalled without IPv6.
func readInstalled4(ifname string) (Installed, error) {
	have, err := readInstalled(ifname)
	have.Addresses = slices.DeleteFunc(have.Addresses, func(p netip.Prefix) bool { return !p.Addr().Is4() })
	have.Routes = slices.DeleteFunc(have.Routes, func(r Route) bool { return !r.Destination.Addr().Is4() })
	return have, err
}
