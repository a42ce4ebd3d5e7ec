package vifrules

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// fragment is the first IPv6 fragment of a packet, with so many bytes of it, behind other headers if there are any.
func fragment(from, to string, headers []byte, next byte, body []byte) []byte {
	h := []byte{next, 0, 0, 1, 0, 0, 0, 7} // offset 0, more follow
	first := byte(unix.IPPROTO_FRAGMENT)
	if headers != nil {
		first, headers[0] = headers[0], unix.IPPROTO_FRAGMENT
	}
	return ipv6(broadcast, mac(mac1), from, to, first, append(append(headers, h...), body...))
}

// What an IPv6 fragment hides is dropped, and what shows all its headers is not.
func TestFragments(t *testing.T) {
	onBench(t, func(b *bench) {
		b.configure(func(c *Config) { c.Host.Protected = []netip.Addr{netip.MustParseAddr("fd00::1")} })
		b.guests()
		const all = "ff02::1"
		options := []byte{58, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} // destination options, then ICMPv6
		advert := message(icmp6RouterAd, make([]byte, 12)...)
		claim := message(icmp6Advertise, append(make([]byte, 4), netip.MustParseAddr("fd00::1").AsSlice()...)...)
		for _, test := range []struct {
			name   string
			frame  []byte
			reason Reason
		}{
			{"large UDP", fragment("fe80::5", all, nil, 17, datagram(5000, 6000)), ""},
			{"large ping", fragment("fe80::5", all, nil, 58, message(icmp6Echo, make([]byte, 12)...)), ""},
			{"DHCPv6", fragment("fe80::5", all, nil, 17, datagram(547, 546)), DHCPServer},
			{"router advertisement", fragment("fe80::5", all, nil, 58, advert), Fragment},
			{"neighbour advertisement, without its target", fragment("fe80::5", all, nil, 58, claim[:8]), Fragment},
			{"solicitation", fragment("fe80::5", all, nil, 58, message(icmp6Solicit, make([]byte, 20)...)), Fragment},
			{"nothing of ICMPv6", fragment("fe80::5", all, nil, 58, nil), Fragment},
			{"half of UDP's header", fragment("fe80::5", all, nil, 17, datagram(547, 546)[:4]), Fragment},
			{"half of an extension header", fragment("fe80::5", all, nil, 60, options[:8]), Fragment},
			{"a whole one, and nothing behind it", fragment("fe80::5", all, nil, 60, options), Fragment},
			{"one and an advertisement", fragment("fe80::5", all, nil, 60, append(options, advert...)), Fragment},
			{"two fragment headers", fragment("fe80::5", all, nil, 44,
				[]byte{58, 0, 1, 0, 0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8}), Fragment},
		} {
			b.drops(test.name, "vif1.0", "nic0", uuid1, test.frame, test.reason)
		}
		b.set(uuid1, Guest{Trust: []Reason{Fragment}})
		b.drops("trusted", "vif1.0", "nic0", uuid1, fragment("fe80::5", all, nil, 58, nil), "")
	})
}

// Addresses that are configured for a guest, and those of the name servers, are nobody else's.
func TestOthersAddresses(t *testing.T) {
	onBench(t, func(b *bench) {
		b.configure(func(c *Config) {
			c.Host.Resolvers = []netip.Addr{netip.MustParseAddr("10.9.0.53")}
			c.Guests = map[string]Guest{
				uuid2: {Addresses: []netip.Addr{netip.MustParseAddr("10.9.0.6")}},
				uuid3: {Addresses: []netip.Addr{netip.MustParseAddr("10.9.0.53")}}, // it is the name server
			}
		})
		b.guests()
		m1, m2, m3 := mac(mac1), mac(mac2), mac(mac3)
		b.drops("a name server's", "vif1.0", "nic0", uuid1, arp(m1, m1, "10.9.0.53"), SpoofedARP)
		b.drops("another guest's", "vif1.0", "nic0", uuid1, arp(m1, m1, "10.9.0.6"), SpoofedARP)
		b.drops("another guest's", "vif1.0", "nic0", uuid1,
			ipv4(broadcast, m1, "10.9.0.6", "10.9.0.255", 17, datagram(1, 2)), SpoofedIP)
		b.drops("its own", "vif2.0", "nic0", uuid2, arp(m2, m2, "10.9.0.6"), "")
		b.drops("the name server itself", "vif3.0", "nic0", uuid3, arp(m3, m3, "10.9.0.53"), "")
		b.drops("nobody's", "vif1.0", "nic0", uuid1, arp(m1, m1, "10.9.0.7"), "")
	})
}

// A guest that makes its IPv6 addresses itself (RFC 4862), from its MAC or at random (RFC 8981), may use them, and asks
// whether somebody has them. Those of dom0 and of the router are no guest's, whoever made them. On a private bridge
// guests have link-local addresses only.
func TestAddressesOfItsOwnMaking(t *testing.T) {
	onBench(t, func(b *bench) {
		const dom0, router = "2001:db8::5054:ff:fe12:3456", "fe80::1"
		b.configure(func(c *Config) {
			c.Host.Protected = []netip.Addr{netip.MustParseAddr(dom0), netip.MustParseAddr(router)}
		})
		b.guests()
		m1 := mac(mac1)
		from := func(address string) []byte { return ipv6(broadcast, m1, address, "ff02::1", 17, datagram(1, 2)) }
		about := func(kind byte, from, address string) []byte {
			return ipv6(broadcast, m1, from, "ff02::1", 58,
				message(kind, append(make([]byte, 4), netip.MustParseAddr(address).AsSlice()...)...))
		}
		for _, address := range []string{
			"fe80::216:3eff:fe00:1", "2001:db8::216:3eff:fe00:1", "2001:db8::9c1d:7f02:55aa:1b3e",
		} {
			for _, to := range []string{"nic0", "vif2.0"} {
				b.drops("from "+address, "vif1.0", to, uuid1, from(address), "")
				b.drops("question about "+address, "vif1.0", to, uuid1, about(icmp6Solicit, "::", address), "")
				b.drops("advertisement of "+address, "vif1.0", to, uuid1, about(icmp6Advertise, address, address), "")
			}
		}
		for _, address := range []string{dom0, router} {
			b.drops("from "+address, "vif1.0", "nic0", uuid1, from(address), SpoofedIP)
			b.drops("advertisement of "+address, "vif1.0", "vif2.0", uuid1,
				about(icmp6Advertise, "fe80::216:3eff:fe00:1", address), SpoofedIP)
		}
		b.configure(func(c *Config) {
			c.Host.Private = []Private{{Bridge: bridgeName, Prefix: netip.MustParsePrefix("10.9.0.1/24")}}
		})
		b.drops("link-local", "vif1.0", "vif2.0", uuid1, from("fe80::216:3eff:fe00:1"), "")
		b.drops("global", "vif1.0", "vif2.0", uuid1, from("2001:db8::216:3eff:fe00:1"), SpoofedIP)
		b.drops("dom0's", "vif1.0", "vif2.0", uuid1, from(router), SpoofedIP)
	})
}

// A guest with an address of IPv4 has none of IPv6, and does not hear that it could have one.
func TestOtherFamily(t *testing.T) {
	onBench(t, func(b *bench) {
		b.set(uuid1, Guest{Addresses: []netip.Addr{netip.MustParseAddr("10.9.0.5")}})
		b.guests()
		m1, lan := mac(mac1), mac(macLAN)
		b.drops("link-local", "vif1.0", "nic0", uuid1,
			ipv6(broadcast, m1, "fe80::7", "ff02::1", 17, datagram(1, 2)), "")
		b.drops("another", "vif1.0", "nic0", uuid1,
			ipv6(broadcast, m1, "2001:db8::6", "ff02::1", 17, datagram(1, 2)), SpoofedIP)
		advert := ipv6(broadcast, lan, "fe80::1", "ff02::1", 58, message(icmp6RouterAd, make([]byte, 12)...))
		if b.arrives("nic0", "vif1.0", advert) || !b.arrives("nic0", "vif2.0", advert) {
			t.Error("the router's advertisement reaches the wrong guests")
		}
	})
}

// A guest on a bridge that is private for a time uses no address that another guest there was given.
func TestOthersLease(t *testing.T) {
	onBench(t, func(b *bench) {
		b.configure(func(c *Config) {
			subnet := netip.MustParsePrefix("10.9.0.1/24")
			c.Host.Private = []Private{{Bridge: bridgeName, Prefix: subnet, Temporary: true}}
		})
		b.guests()
		leases := map[string]string{}
		for _, v := range must(b.rules.Vifs())(t) {
			leases[v.Name] = v.Lease.String()
		}
		m1 := mac(mac1)
		b.drops("its own", "vif1.0", "vif3.0", uuid1, arp(m1, m1, leases["vif1.0"]), "")
		b.drops("another's", "vif1.0", "vif3.0", uuid1, arp(m1, m1, leases["vif2.0"]), SpoofedARP)
		b.drops("dom0's", "vif1.0", "vif3.0", uuid1, arp(m1, m1, "10.9.0.1"), SpoofedARP)
		b.drops("one that it had before", "vif1.0", "vif3.0", uuid1, arp(m1, m1, "192.168.1.5"), "")
	})
}

// offered is what a DHCP server sends to a guest: message 2 offers an address, 5 gives it.
func offered(to, from string, address string, message byte) []byte {
	d := append(datagram(67, 68)[:8], make([]byte, 240)...)
	copy(d[dhcpGiven:], netip.MustParseAddr(address).AsSlice())
	copy(d[dhcpMAC:], mac(to))
	d = append(d, 53, 1, message, 255)
	return ipv4(mac(to), mac(from), "10.9.0.1", address, unix.IPPROTO_UDP, d)
}

// An address that the LAN's DHCP server has given to a guest is no other guest's, until the guest has gone.
func TestLearnedAddresses(t *testing.T) {
	onBench(t, func(b *bench) {
		b.guests()
		m1, m2 := mac(mac1), mac(mac2)
		b.arrives("nic0", "vif1.0", offered(mac1, macLAN, "10.9.0.5", 2))
		b.drops("only offered to another", "vif2.0", "nic0", uuid2, arp(m2, m2, "10.9.0.5"), "")
		b.arrives("nic0", "vif1.0", offered(mac1, macLAN, "10.9.0.5", 5))
		b.drops("its own", "vif1.0", "nic0", uuid1, arp(m1, m1, "10.9.0.5"), "")
		b.drops("its own", "vif1.0", "nic0", uuid1,
			ipv4(broadcast, m1, "10.9.0.5", "10.9.0.255", 17, datagram(1, 2)), "")
		b.drops("one that nobody gave it", "vif1.0", "nic0", uuid1, arp(m1, m1, "10.9.0.50"), "")
		b.drops("another's", "vif2.0", "nic0", uuid2, arp(m2, m2, "10.9.0.5"), SpoofedARP)
		b.drops("another's", "vif2.0", "nic0", uuid2,
			ipv4(broadcast, m2, "10.9.0.5", "10.9.0.255", 17, datagram(1, 2)), SpoofedIP)
		b.drops("a probe", "vif2.0", "nic0", uuid2, arp(m2, m2, "0.0.0.0"), "")
		b.set(uuid1, Guest{Rate: 1 << 20}) // its rules are made anew
		b.drops("another's still", "vif2.0", "nic0", uuid2, arp(m2, m2, "10.9.0.5"), SpoofedARP)
		check(t, netlink.LinkDel(linkOf(t, "vif1.0")))
		check(t, b.rules.Unplug("vif1.0"))
		b.drops("that of one that has gone", "vif2.0", "nic0", uuid2, arp(m2, m2, "10.9.0.5"), "")
	})
}

// dom0 cannot be reached by way of a router, and hears only so much of what it would have to remember.
func TestDom0IsSpared(t *testing.T) {
	onBench(t, func(b *bench) {
		check(t, netlink.AddrAdd(linkOf(t, bridgeName), must(netlink.ParseAddr(own+"/24"))(t)))
		b.configure(func(*Config) {})
		b.guests()
		m1, router := mac(mac1), mac(macLAN)
		b.arrives("nic0", "vif1.0", arp(router, router, "10.9.0.254")) // the bridge learns where it is
		b.drops("to the router", "vif1.0", "nic0", uuid1,
			ipv4(router, m1, "10.9.0.5", "10.8.0.1", 6, segment(4000, 22, tcpSyn)), "")
		b.drops("to dom0 by the router", "vif1.0", "nic0", uuid1,
			ipv4(router, m1, "10.9.0.5", own, 6, segment(4000, 22, tcpSyn)), ByRouter)
		question := arp(m1, m1, "10.9.0.5")
		copy(question[14+arpTarget:], netip.MustParseAddr(own).AsSlice())
		const many = 3 * askBurst
		for range many {
			b.arrives("vif1.0", "nic0", question) // it goes on reaching others
		}
		flood := b.traffic(uuid1).Dropped[Flood].Packets
		if flood == 0 || flood > many-askBurst {
			t.Errorf("%d of %d questions dropped", flood, many)
		}
		if other := b.traffic(uuid2).Dropped[Flood].Packets; other != 0 {
			t.Errorf("%d dropped of another guest", other)
		}
	})
}

// A MAC that is somebody else's is no guest's.
func TestMACsOfOthers(t *testing.T) {
	onBench(t, func(b *bench) {
		gateway := netip.MustParseAddr("10.9.0.254")
		b.configure(func(c *Config) { c.Host.Protected = []netip.Addr{gateway} })
		b.guests()
		check(t, netlink.NeighAdd(&netlink.Neigh{
			LinkIndex: linkOf(t, bridgeName).Attrs().Index, State: netlink.NUD_PERMANENT,
			IP: gateway.AsSlice(), HardwareAddr: mac(macLAN),
		}))
		for _, test := range []struct{ mac, uuid, want string }{
			{mac2, uuid1, `the guest "guest2" has it`},
			{linkOf(t, bridgeName).Attrs().HardwareAddr.String(), uuid1, "br0 of dom0 has it"},
			{linkOf(t, "nic0").Attrs().HardwareAddr.String(), uuid1, "of dom0 has it"},
			{strings.ToUpper(macLAN), uuid1, "10.9.0.254, dom0's gateway"},
			{mac2, uuid2, ""}, // the same guest, which has restarted
			{"00:16:3e:00:00:09", uuid1, ""},
		} {
			got := ""
			if err := b.rules.CheckMAC(test.mac, test.uuid); err != nil {
				got = err.Error()
			}
			if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("%s: %q, want %q", test.mac, got, test.want)
			}
		}
		b.port("vif9.0")
		if b.rules.Plug(Vif{Name: "vif9.0", Bridge: bridgeName, MAC: mac2, UUID: "other"}) == nil {
			t.Error("plugged")
		}
		check(t, netlink.LinkDel(linkOf(t, "vif2.0")))
		check(t, b.rules.Plug(Vif{Name: "vif9.0", Bridge: bridgeName, MAC: mac2, UUID: "other"}))
	})
}
