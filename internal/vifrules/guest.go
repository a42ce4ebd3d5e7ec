package vifrules

import (
	"net"
	"net/netip"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Notes on packets (their mark): who sent them.
const (
	markGuest  = 0x7a64_0001
	markNoHost = 0x7a64_0002 // a guest that dom0 is closed to
)

// Names in the bridge's table.
const (
	setGuests    = "guests"   // names of all vifs
	setIsolated  = "isolated" // of those whose guests are isolated
	setOwn4      = "own4"     // Host.Protected
	setOwn6      = "own6"
	mapFrom      = "from"  // vif -> chain for what the guest sends
	mapLeave     = "leave" // vif -> chain for what the guest sends to another port
	mapEnter     = "enter" // vif -> chain for what another port sends to the guest
	mapTo        = "to"    // vif -> chain for all that the guest gets
	counterRx    = "rx"    // by the guest
	counterTx    = "tx"
	counterFence = "fence"
)

// counterOf is the name of a guest's counter.
func counterOf(uuid, what string) string { return uuid + "." + what }

// Names of what each vif has.
func chainOf(direction, vif string) string { return direction + "." + vif }

// vifChains returns the chains of a vif by the map that leads to each.
func vifChains(c *Config, v Vif) map[string][]rule {
	g := c.Guests[v.UUID]
	mac, _ := net.ParseMAC(v.MAC) // checked where the record was made
	b := builder{guest: g, vif: v, mac: mac, allowed: c.allowed(v), fenced: c.fenced(v)}
	return map[string][]rule{
		mapFrom:  b.from(),
		mapLeave: b.leave(),
		mapEnter: b.enter(),
		mapTo:    b.to(),
	}
}

// builder makes the rules of one vif.
type builder struct {
	guest   Guest
	vif     Vif
	mac     net.HardwareAddr
	allowed []netip.Addr
	fenced  netip.Prefix
	rules   []rule
}

// drop adds a rule that drops what matches, unless the guest is trusted with that.
func (b *builder) drop(reason Reason, parts ...rule) {
	if !b.guest.trusts(reason) {
		b.rules = append(b.rules, when(when(parts...), dropped(counterOf(b.vif.UUID, string(reason)))))
	}
}

func (b *builder) add(parts ...rule) { b.rules = append(b.rules, when(parts...)) }

func (b *builder) take() []rule {
	rules := b.rules
	b.rules = nil
	return rules
}

// from has what the guest sends.
func (b *builder) from() []rule {
	note := uint32(markGuest)
	if b.guest.NoHost {
		note = markNoHost
	}
	b.add(count(counterOf(b.vif.UUID, counterTx)))
	b.limit()
	b.add(mark(note))
	b.frame()
	b.arp()
	b.ipv4()
	b.ipv6()
	b.noteReplies()
	b.add(accept())
	return b.take()
}

// frame checks the frame itself. 01:80:c2:00:00:00 to 0f is what a switch hears only from its neighbour. Spanning
// tree's would pass a bridge that has that off, and switch off the port of a switch behind the NIC.
func (b *builder) frame() {
	b.drop(SpoofedMAC, payload(link, etherFrom, differ, b.mac))
	b.drop(Control, masked(link, etherTo, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xf0}, equal,
		[]byte{0x01, 0x80, 0xc2, 0, 0, 0}))
	// IEEE 802.3 with a length in place of a type: what comes after that is another way to write ARP, a router
	// advertisement or a switch's own protocols (RFC 1042), which the rules below do not see.
	b.drop(Control, payload(link, etherType, below, big16(unix.ETH_P_802_3_MIN)))
	for _, tag := range []uint16{unix.ETH_P_8021Q, unix.ETH_P_8021AD} {
		b.drop(Tagged, payload(link, etherType, equal, big16(tag)))
	}
}

// arp checks ARP: only that of IPv4 over Ethernet has its fields where they are looked for.
func (b *builder) arp() {
	b.drop(SpoofedARP, ether(etherARP), payload(network, arpKinds, differ, []byte{0, 1, 8, 0, 6, 4}))
	b.drop(SpoofedARP, ether(etherARP), payload(network, arpMAC, differ, b.mac))
	b.drop(SpoofedARP, ether(etherARP), inSet(network, arpIP, 4, setOwn4, false))
	b.fence(SpoofedARP, etherARP, arpIP)
	if b.holds4() {
		b.drop(SpoofedARP, ether(etherARP), inSet(network, arpIP, 4, b.set4(), true))
	}
}

// fence drops what comes from an address of a network of which the guest has another one.
func (b *builder) fence(reason Reason, protocol uint16, offset int) {
	if p := b.fenced; p.IsValid() {
		b.drop(reason, ether(protocol),
			masked(network, offset, net.CIDRMask(p.Bits(), 32), equal, p.Masked().Addr().AsSlice()),
			payload(network, offset, differ, b.vif.Lease.AsSlice()))
	}
}

// ICMP's types (RFC 792, RFC 4443, RFC 4861).
const (
	icmpRedirect   = 5
	icmpEcho       = 8
	icmp6Echo      = 128
	icmp6RouterAd  = 134
	icmp6Advertise = 136
	icmp6Redirect  = 137
)

// Ports of DHCP (RFC 2131) and DHCPv6 (RFC 8415).
const (
	portDHCPServer, portDHCPClient   = 67, 68
	portDHCP6Client, portDHCP6Server = 546, 547
)

func (b *builder) ipv4() {
	b.drop(SpoofedIP, ether(etherIPv4), inSet(network, ip4From, 4, setOwn4, false))
	b.fence(SpoofedIP, etherIPv4, ip4From)
	if b.holds4() {
		b.drop(SpoofedIP, ether(etherIPv4), inSet(network, ip4From, 4, b.set4(), true))
	}
	b.drop(DHCPServer, udp(etherIPv4, portFrom, portDHCPServer))
	b.drop(DHCPServer, udp(etherIPv4, portTo, portDHCPClient))
	b.drop(Redirect, icmp(icmpRedirect))
}

// ipv6 checks IPv6. Link-local addresses are everybody's, but for those of dom0 and its gateway.
func (b *builder) ipv6() {
	b.drop(SpoofedIP, ether(etherIPv6), inSet(network, ip6From, 16, setOwn6, false))
	b.drop(SpoofedIP, icmp6(icmp6Advertise), inSet(transport, ndTarget, 16, setOwn6, false))
	if b.holds6() {
		b.drop(SpoofedIP, ether(etherIPv6), notLinkLocal(network, ip6From),
			inSet(network, ip6From, 16, b.set6(), true))
		b.drop(SpoofedIP, icmp6(icmp6Advertise), notLinkLocal(transport, ndTarget),
			inSet(transport, ndTarget, 16, b.set6(), true))
	}
	b.drop(DHCPServer, udp(etherIPv6, portFrom, portDHCP6Server))
	b.drop(DHCPServer, udp(etherIPv6, portTo, portDHCP6Client))
	b.drop(RouterAd, icmp6(icmp6RouterAd))
	b.drop(Redirect, icmp6(icmp6Redirect))
}

// notLinkLocal leaves out fe80::/10.
func notLinkLocal(base expr.PayloadBase, offset int) rule {
	return masked(base, offset, []byte{0xff, 0xc0}, differ, []byte{0xfe, 0x80})
}

// holds4 says whether the guest is held to IPv4 addresses.
func (b *builder) holds4() bool { return len(b.allowed) > 0 && len(b.addresses(netip.Addr.Is4)) > 0 }

func (b *builder) holds6() bool { return len(b.allowed) > 0 && len(b.addresses(netip.Addr.Is6)) > 0 }

func (b *builder) addresses(of func(netip.Addr) bool) []netip.Addr {
	var some []netip.Addr
	for _, address := range b.allowed {
		if of(address) {
			some = append(some, address)
		}
	}
	return some
}

func (b *builder) set4() string { return chainOf("ip4", b.vif.Name) }
func (b *builder) set6() string { return chainOf("ip6", b.vif.Name) }

// limit drops what is over the rate; a burst may be a quarter of a second's, and has to hold some full frames.
func (b *builder) limit() {
	if b.guest.Rate == 0 {
		return
	}
	b.drop(OverRate, rule{&expr.Limit{
		Type: expr.LimitTypePktBytes, Rate: uint64(b.guest.Rate), Over: true, Unit: expr.LimitTimeSecond,
		Burst: uint32(min(max(b.guest.Rate/4, 64<<10), 1<<30)),
	}})
}

// leave keeps guests apart that are isolated.
func (b *builder) leave() []rule {
	if b.guest.Isolated {
		b.drop(Neighbour, named(expr.MetaKeyOIFNAME, setGuests, false))
	}
	b.drop(Neighbour, named(expr.MetaKeyOIFNAME, setIsolated, false))
	return b.take()
}

// to has all that the guest gets.
func (b *builder) to() []rule {
	b.limit()
	b.add(count(counterOf(b.vif.UUID, counterRx)))
	return b.take()
}
