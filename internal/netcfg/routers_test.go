package netcfg

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"golang.org/x/sys/unix"
)

// adverted is the payload of an advertisement with options.
func adverted(options ...[]byte) packet6 {
	payload := []byte{routerAdvertisement, 0, 0, 0, 64, 0x48, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0}
	payload = append(payload, slices.Concat(options...)...)
	return packet6{routerAddress, allNodes, unix.IPPROTO_ICMPV6, neighbourHops, payload}
}

func prefixOption(prefix string, flags byte, valid, preferred byte) []byte {
	p := netip.MustParsePrefix(prefix)
	option := []byte{optionPrefix, 4, byte(p.Bits()), flags, 0, 0, valid, 0, 0, 0, preferred, 0, 0, 0, 0, 0}
	return append(option, p.Addr().AsSlice()...)
}

func TestParseAdvert(t *testing.T) {
	route := []byte{optionRoute, 2, 48, 0x18, 0, 0, 1, 0, 0x20, 0x01, 0x0d, 0xb8, 0, 9, 0, 0}
	tests := map[string]struct {
		packet packet6
		want   string // empty: none
	}{
		"nothing": {adverted(), "fe80::1 30m0s 1 false true [] [] []"},
		"prefix": {adverted(prefixOption("2001:db8:1::/64", 0xc0, 2, 1)),
			"fe80::1 30m0s 1 false true [{2001:db8:1::/64 true true 8m32s 4m16s}] [] []"},
		"preferred longer than valid": {adverted(prefixOption("2001:db8:1::/64", 0xc0, 1, 2)),
			"fe80::1 30m0s 1 false true [] [] []"},
		"link-local prefix": {adverted(prefixOption("fe80::/64", 0xc0, 2, 1)), "fe80::1 30m0s 1 false true [] [] []"},
		"route": {adverted(route),
			"fe80::1 30m0s 1 false true [] [{2001:db8:9::/48 -1 4m16s}] []"},
		"route too short for its prefix": {adverted(append([]byte{optionRoute, 2, 96}, route[3:]...)),
			"fe80::1 30m0s 1 false true [] [] []"},
		"unknown option":      {adverted([]byte{200, 1, 1, 2, 3, 4, 5, 6}), "fe80::1 30m0s 1 false true [] [] []"},
		"option of no length": {adverted([]byte{200, 0, 1, 2, 3, 4, 5, 6}), ""},
		"option cut short":    {adverted([]byte{200, 2, 1, 2, 3, 4, 5, 6}), ""},
		"from afar":           {packet6{routerAddress, allNodes, unix.IPPROTO_ICMPV6, 254, adverted().payload}, ""},
		"from no router": {packet6{netip.MustParseAddr("2001:db8::1"), allNodes, unix.IPPROTO_ICMPV6, neighbourHops,
			adverted().payload}, ""},
	}
	for name, test := range tests {
		a, err := parseAdvert(test.packet)
		got := fmt.Sprint(a.Router, a.Lifetime, a.Preference, a.Managed, a.Other, a.Prefixes, a.Routes, a.DNS)
		if (err != nil) != (test.want == "") || err == nil && got != test.want {
			t.Errorf("%s: got %s, %v", name, got, err)
		}
	}
}

func TestParseNames(t *testing.T) {
	tests := map[string]string{
		"\x03lan\x00\x01a\x07example\x00\x00\x00": "[lan a.example]",
		"\x04a\nb.\x00\x01c\x00":                  "[c]",
		"\x3flan":                                 "[]",
		"\xc0\x0c\x00":                            "[]",
		"":                                        "[]",
	}
	for data, want := range tests {
		if got := fmt.Sprint(parseNames([]byte(data))); got != want {
			t.Errorf("%q: got %s, want %s", data, got, want)
		}
	}
}

var hostMAC = net.HardwareAddr{0x52, 0x54, 0, 0x12, 0x34, 0x56}

func TestRouters(t *testing.T) {
	start := time.Unix(10000, 0)
	prefix := AdvertPrefix{
		Prefix: lanPrefix, OnLink: true, Autonomous: true, Valid: 24 * time.Hour, Preferred: time.Hour,
	}
	var r Routers
	r.Hear(Advert{
		Router: routerAddress, Lifetime: 30 * time.Minute, Prefixes: []AdvertPrefix{prefix},
		DNS: []AdvertDNS{{Servers: []netip.Addr{routerAddress}, Search: []string{"lan"}, Lifetime: 10 * time.Minute}},
	}, start)
	const address = "2001:db8:1:0:5054:ff:fe12:3456/64"
	show := func(at time.Duration) string {
		c := r.Config(start.Add(at), hostMAC, nil)
		text := ""
		for _, a := range c.Addresses {
			text += fmt.Sprintf("%s until %s; ", a.Prefix, a.Expires.Sub(start))
		}
		return text + fmt.Sprint(c.Routes, r.Services(start.Add(at), "xenbr0"))
	}
	all := address + " until 24h0m0s; [2001:db8:1::/64 metric 1024 ::/0 via fe80::1 metric 1025] " +
		"{[fe80::1%xenbr0] [lan] []}"
	if got := show(time.Minute); got != all {
		t.Errorf("got  %s\nwant %s", got, all)
	}
	if got, want := show(time.Hour), address+" until 24h0m0s; [2001:db8:1::/64 metric 1024] {[] [] []}"; got != want {
		t.Errorf("after an hour: got %s", got)
	}
	if got := show(25 * time.Hour); got != "[] {[] [] []}" {
		t.Errorf("after a day: got %s", got)
	}
	if next := r.next(start); !next.Equal(start.Add(10 * time.Minute)) {
		t.Errorf("next %s", next)
	}
	if c := r.Config(start, hostMAC, []netip.Addr{fromMAC(lanPrefix, hostMAC)}); len(c.Addresses) > 0 {
		t.Errorf("an address that is taken: %v", c.Addresses)
	}
	// Somebody forges the end of the prefix: it goes on for two hours.
	prefix.Valid, prefix.Preferred = time.Second, time.Second
	r.Hear(Advert{Router: routerAddress, Prefixes: []AdvertPrefix{prefix}}, start)
	if got := r.Config(start, hostMAC, nil).Addresses[0].Expires.Sub(start); got != 2*time.Hour {
		t.Errorf("after a forged end it expires in %s", got)
	}
	if got := r.Config(start, hostMAC, nil).Routes; len(got) != 1 {
		t.Errorf("the router has retired: %v", got)
	}
}

func TestRoutersAreBounded(t *testing.T) {
	var r Routers
	for i := range 1000 {
		prefix := netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0, byte(i >> 8), byte(i)}), 64)
		source := netip.AddrFrom16([16]byte{0xfe, 0x80, 14: byte(i >> 8), 15: byte(i)})
		r.Hear(Advert{Router: source, Lifetime: time.Hour, Prefixes: []AdvertPrefix{
			{Prefix: prefix, Autonomous: true, Valid: time.Hour, Preferred: time.Hour},
		}}, time.Now())
	}
	if c := r.Config(time.Now(), hostMAC, nil); len(c.Addresses) > maxHeard || len(c.Routes) > 2*maxHeard {
		t.Errorf("%d addresses, %d routes", len(c.Addresses), len(c.Routes))
	}
}

// Routers that have gone make room for others, and do not go on asking for DHCPv6.
func TestRoutersAreForgotten(t *testing.T) {
	var r Routers
	start := time.Unix(10000, 0)
	for i := range maxHeard {
		source := netip.AddrFrom16([16]byte{0xfe, 0x80, 15: byte(i)})
		r.Hear(Advert{Router: source, Managed: true, Lifetime: time.Duration(i) * time.Minute}, start)
	}
	later := Advert{Router: netip.MustParseAddr("fe80::ff"), Lifetime: time.Hour}
	r.Hear(later, start.Add(2*time.Hour))
	if c := r.Config(start.Add(2*time.Hour), hostMAC, nil); len(c.Routes) != 0 || r.dhcp6() != statefulDHCPv6 {
		t.Errorf("after two hours: %v, DHCPv6 %d", c.Routes, r.dhcp6())
	}
	r.Hear(later, start.Add(3*time.Hour))
	if c := r.Config(start.Add(3*time.Hour), hostMAC, nil); len(c.Routes) != 1 || r.dhcp6() != noDHCPv6 {
		t.Errorf("after three hours: %v, DHCPv6 %d", c.Routes, r.dhcp6())
	}
}

func TestMessagesOfOurOwn(t *testing.T) {
	for name, frame := range map[string][]byte{
		"router question":    routerQuestion(hostMAC),
		"neighbour question": neighbourQuestion(hostMAC, netip.MustParseAddr("2001:db8::ff12:3456")),
		"DHCPv6":             frame6(hostMAC, udp6(fromMAC(linkLocal, hostMAC), []byte("odd")), 6),
	} {
		if _, ok := parseFrame6(frame, false); !ok {
			t.Errorf("%s: a receiver would not take it", name)
		}
		frame[len(frame)-1] ^= 1
		if _, ok := parseFrame6(frame, false); ok {
			t.Errorf("%s: damage goes unnoticed", name)
		}
	}
	if got := solicitedNode(netip.MustParseAddr("2001:db8::ab12:3456")).String(); got != "ff02::1:ff12:3456" {
		t.Errorf("group %s", got)
	}
}

// FuzzParseAdvert holds for any message: no panic, bounded lists, and a resolv.conf of known lines.
func FuzzParseAdvert(f *testing.F) {
	f.Add(adverted(prefixOption("2001:db8:1::/64", 0xc0, 2, 1)).payload)
	f.Add(advertOf(routerPolicy{prefix: lanPrefix, lifetime: 1800, flags: 0xc0}).payload)
	f.Fuzz(func(t *testing.T, payload []byte) {
		a, err := parseAdvert(packet6{routerAddress, allNodes, unix.IPPROTO_ICMPV6, neighbourHops, payload})
		if err != nil {
			return
		}
		var r Routers
		now := time.Now()
		r.Hear(a, now)
		r.Hear(a, now.Add(time.Second))
		c := r.Config(now, hostMAC, nil)
		Plan(Installed{}, Config{}, c)
		for _, address := range c.Addresses {
			if !isHost6(address.Prefix.Addr()) {
				t.Errorf("address %s", address.Prefix)
			}
		}
		for _, name := range r.Services(now, "xenbr0").Search {
			if !isDomain(name) {
				t.Errorf("domain %q", name)
			}
		}
		r.next(now)
	})
}

// FuzzAnswer6 holds for any frame: no panic, and a lease has an address that a host can have.
func FuzzAnswer6(f *testing.F) {
	c := &Client6{mac: hostMAC, timing: Timing{}.orDefault()}
	self := fromMAC(linkLocal, hostMAC)
	solicit, _ := dhcpv6.NewSolicit(hostMAC, c.common()...)
	answer, _ := dhcpv6.NewAdvertiseFromSolicit(solicit, dhcpv6.WithServerID(c.duid()), dhcpv6.WithIAID(c.iaid()),
		dhcpv6.WithIANA(dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP("2001:db8::7"), ValidLifetime: time.Hour}))
	f.Add(answer.ToBytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		length := 8 + len(data)
		payload := append([]byte{2, 35, 2, 34, byte(length >> 8), byte(length), 0, 0}, data...)
		frame := frame6(hostMAC, packet6{routerAddress, self, unix.IPPROTO_UDP, 64, payload}, 6)
		message, ok := parseAnswer6(frame, false, self, c.duid())
		if !ok {
			return
		}
		lease, err := c.parse(message)
		if err == nil && (!isHost6(lease.Address) || lease.Times.Length <= 0) {
			t.Errorf("lease %+v", lease)
		}
	})
}
