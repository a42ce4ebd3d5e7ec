package netcfg

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"golang.org/x/sys/unix"
)

// lanPrefix is what routers of tests advertise.
var lanPrefix = netip.MustParsePrefix("2001:db8:1::/64")

var routerAddress = netip.MustParseAddr("fe80::1")

// routerPolicy is how a router6 behaves.
type routerPolicy struct {
	flags    byte // of its advertisements: 0x80 managed, 0x40 other
	lifetime uint16
	prefix   netip.Prefix  // invalid: none
	taken    []netip.Addr  // addresses that another host answers for
	leases   []string      // what DHCPv6 gives, one after the other; the last one again and again
	seconds  time.Duration // length of these
	gives    byte          // a number for its name server: 2001:db8:1::N
}

// router6 is a router on a LAN, its DHCPv6 server and a host that has some addresses.
type router6 struct {
	t   *testing.T
	tap *tap
	mac net.HardwareAddr

	mu       sync.Mutex
	policy   routerPolicy
	messages []dhcpv6.MessageType // that came in
	declined []netip.Addr
}

// route6 puts a router on the LAN.
func (l *lan) route6(p routerPolicy) *router6 {
	r := &router6{t: l.t, mac: net.HardwareAddr{2, 0, 0, 0, 0, 1}, policy: p}
	var err error
	l.inside(func() { r.tap, err = openTap(l.port.Attrs().Index, unix.ETH_P_ALL, arpFilter) })
	check(l.t, err)
	l.t.Cleanup(func() { r.tap.Close() })
	go func() {
		frame := make([]byte, 2000)
		for {
			n, err := r.tap.read(frame)
			if err != nil {
				return
			}
			if p, ok := parseFrame6(frame[:n], false); ok {
				r.handle(p, net.HardwareAddr(slices.Clone(frame[6:12])))
			}
		}
	}()
	return r
}

func (r *router6) set(change func(*routerPolicy)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.policy)
}

// heard says whether a message of a kind came in.
func (r *router6) heard(kind dhcpv6.MessageType) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.messages, kind)
}

func (r *router6) handle(p packet6, from net.HardwareAddr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case p.next == unix.IPPROTO_ICMPV6 && p.payload[icmp6Type] == routerSolicitation:
		r.advertise()
	case p.next == unix.IPPROTO_ICMPV6 && p.payload[icmp6Type] == neighbourSolicitation:
		target := netip.AddrFrom16([16]byte(p.payload[8:]))
		if slices.Contains(r.policy.taken, target) {
			payload := append([]byte{neighbourAdvert, 0, 0, 0, 0x20, 0, 0, 0}, target.AsSlice()...)
			r.send(packet6{target, allNodes, unix.IPPROTO_ICMPV6, neighbourHops, payload}, 2, nil)
		}
	case p.next == unix.IPPROTO_UDP && binary.BigEndian.Uint16(p.payload[2:]) == dhcp6ServerPort:
		if message, err := dhcpv6.MessageFromBytes(p.payload[8:]); err == nil {
			r.serve(message, p.source, from)
		}
	}
}

func (r *router6) send(p packet6, checksum int, to net.HardwareAddr) {
	frame := frame6(r.mac, p, checksum)
	copy(frame, to)
	_ = r.tap.write(frame)
}

// advertise sends what a router says, unasked or not.
func (r *router6) advertise() {
	r.send(advertOf(r.policy), 2, nil)
}

// advertOf builds the advertisement of a policy, with a name server and a domain.
func advertOf(p routerPolicy) packet6 {
	payload := []byte{routerAdvertisement, 0, 0, 0, 64, p.flags, byte(p.lifetime >> 8), byte(p.lifetime)}
	payload = append(payload, make([]byte, 8)...)
	if p.prefix.IsValid() {
		payload = append(payload, optionPrefix, 4, byte(p.prefix.Bits()), 0xc0)
		payload = append(payload, 0, 0, 0x1c, 0x20, 0, 0, 0x0e, 0x10, 0, 0, 0, 0) // 2 hours, preferred for one
		payload = append(payload, p.prefix.Addr().AsSlice()...)
	}
	payload = append(payload, optionDNS, 3, 0, 0, 0, 0, 2, 88)
	payload = append(payload, netip.MustParseAddr("2001:db8:1::53").AsSlice()...)
	payload = append(payload, optionSearch, 2, 0, 0, 0, 0, 2, 88, 3, 'l', 'a', 'n', 0, 0, 0, 0)
	return packet6{routerAddress, allNodes, unix.IPPROTO_ICMPV6, neighbourHops, payload}
}

// serve answers a DHCPv6 client.
func (r *router6) serve(message *dhcpv6.Message, source netip.Addr, from net.HardwareAddr) {
	r.messages = append(r.messages, message.MessageType)
	server := &dhcpv6.DUIDLL{HWType: 1, LinkLayerAddr: r.mac}
	modifiers := []dhcpv6.Modifier{
		dhcpv6.WithServerID(server), dhcpv6.WithDNS(net.ParseIP("2001:db8:1::5")),
		dhcpv6.WithDomainSearchList("six.example"),
	}
	if ia := message.Options.OneIANA(); ia != nil && len(r.policy.leases) > 0 {
		if message.MessageType == dhcpv6.MessageTypeDecline {
			address, _ := netip.AddrFromSlice(ia.Options.OneAddress().IPv6Addr)
			r.declined = append(r.declined, address)
			if len(r.policy.leases) > 1 {
				r.policy.leases = r.policy.leases[1:]
			}
			return // servers answer, clients do without
		}
		modifiers = append(modifiers, dhcpv6.WithIAID(ia.IaId), dhcpv6.WithIANA(dhcpv6.OptIAAddress{
			IPv6Addr:          net.ParseIP(r.policy.leases[0]),
			PreferredLifetime: r.policy.seconds, ValidLifetime: r.policy.seconds,
		}))
	}
	answer, err := dhcpv6.NewReplyFromMessage(message, modifiers...)
	if message.MessageType == dhcpv6.MessageTypeSolicit {
		answer, err = dhcpv6.NewAdvertiseFromSolicit(message, modifiers...)
	}
	if err != nil {
		r.t.Errorf("answer %s: %v", message.MessageType, err)
		return
	}
	data := answer.ToBytes()
	length := 8 + len(data)
	payload := append([]byte{2, 35, 2, 34, byte(length >> 8), byte(length), 0, 0}, data...) // ports 547, 546
	r.send(packet6{routerAddress, source, unix.IPPROTO_UDP, 64, payload}, 6, from)
}
