package vifrules

import (
	"net"
	"net/netip"
	"slices"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Notes on packets (their mark): who sent them.
const (
	markGuest  = 0x7a64_0001
	markNoHost = 0x7a64_0002 // a guest that dom0 is closed to
	markHidden = 0x7a64_0003 // a guest, and the fragment does not show what it carries
)

// Names in the bridge's table.
const (
	setGuests    = "guests"   // names of all vifs
	setIsolated  = "isolated" // of those whose guests are isolated
	setOwned4    = "owned4"   // Config.owned
	setOwned6    = "owned6"
	setHost4     = "host4" // Host.Own
	setHost6     = "host6"
	mapFrom      = "from"  // vif -> chain for what the guest sends
	mapHost      = "host"  // vif -> chain for what the guest sends to dom0
	mapLeave     = "leave" // vif -> chain for what the guest sends to another port
	mapEnter     = "enter" // vif -> chain for what another port sends to the guest
	mapTo        = "to"    // vif -> chain for all that the guest gets
	counterRx    = "rx"    // by the guest
	counterTx    = "tx"
	counterFence = "fence"
	counterBad   = "offences" // of all guests
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
		mapHost:  b.host(),
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
	if b.guest.trusts(reason) {
		return
	}
	if slices.Contains(Offences, reason) {
		parts = append(parts, count(counterBad))
	}
	b.rules = append(b.rules, when(when(parts...), dropped(counterOf(b.vif.UUID, string(reason)))))
}

func (b *builder) add(parts ...rule) { b.rules = append(b.rules, when(parts...)) }

func (b *builder) take() []rule {
	rules := b.rules
	b.rules = nil
	return rules
}

// from has what the guest sends.
func (b *builder) from() []rule {
	b.add(count(counterOf(b.vif.UUID, counterTx)))
	b.limit()
	b.add(mark(b.note()))
	b.frame()
	b.arp()
	b.ipv4()
	b.ipv6()
	b.noteReplies()
	b.add(accept())
	return b.take()
}

// note is the mark of what the guest sends.
func (b *builder) note() uint32 {
	if b.guest.NoHost {
		return markNoHost
	}
	return markGuest
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
	b.drop(SpoofedARP, ether(etherARP), inSet(network, arpIP, 4, setOwned4, false),
		inSet(network, arpIP, 4, b.set4(), true))
	b.leasedToOthers(SpoofedARP, etherARP, arpIP)
	b.fence(SpoofedARP, etherARP, arpIP)
	if b.isHeld() {
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
	icmp6RouterAsk = 133
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
	b.drop(SpoofedIP, ether(etherIPv4), inSet(network, ip4From, 4, setOwned4, false),
		inSet(network, ip4From, 4, b.set4(), true))
	b.leasedToOthers(SpoofedIP, etherIPv4, ip4From)
	b.fence(SpoofedIP, etherIPv4, ip4From)
	if b.isHeld() {
		b.drop(SpoofedIP, ether(etherIPv4), inSet(network, ip4From, 4, b.set4(), true))
	}
	b.drop(DHCPServer, udp(etherIPv4, portFrom, portDHCPServer))
	b.drop(DHCPServer, udp(etherIPv4, portTo, portDHCPClient))
	b.drop(Redirect, icmp(icmpRedirect))
}

// ipv6 checks IPv6. Link-local addresses are everybody's, but for those that are somebody else's.
func (b *builder) ipv6() {
	b.fragments()
	b.claims(network, ip6From, ether(etherIPv6))
	b.claims(transport, ndTarget, icmp6(icmp6Advertise))
	b.drop(DHCPServer, udp(etherIPv6, portFrom, portDHCP6Server))
	b.drop(DHCPServer, udp(etherIPv6, portTo, portDHCP6Client))
	b.drop(RouterAd, icmp6(icmp6RouterAd))
	b.drop(Redirect, icmp6(icmp6Redirect))
}

// claims checks an IPv6 address that a packet has somewhere.
func (b *builder) claims(base expr.PayloadBase, offset int, which rule) {
	b.drop(SpoofedIP, which, inSet(base, offset, 16, setOwned6, false), inSet(base, offset, 16, b.set6(), true))
	if b.isHeld() {
		b.drop(SpoofedIP, which, notLinkLocal(base, offset), inSet(base, offset, 16, b.set6(), true))
	}
}

// headerBytes are what the first fragment must have of what the packet carries: ICMPv6 and UDP have no shorter header.
const headerBytes = 8

// fragments checks IPv6 fragments. Rules see what the first one shows, and a receiver what all together do. So the
// first has to show all headers (RFC 7112), and neighbour discovery is never fragmented (RFC 6980).
func (b *builder) fragments() {
	if b.guest.trusts(Fragment) {
		return
	}
	b.add(ether(etherIPv6), firstFragment6, mark(markHidden))
	// Bytes that are not there match nothing, whatever the mask.
	b.add(marked(equal, markHidden), masked(transport, 0, make([]byte, headerBytes), equal, make([]byte, headerBytes)),
		mark(b.note()))
	b.drop(Fragment, marked(equal, markHidden))
	b.drop(Fragment, ether(etherIPv6), firstFragment6, over(unix.IPPROTO_ICMPV6), discovery)
}

// discovery matches the types of neighbour discovery.
var discovery = rule{
	&expr.Payload{DestRegister: 1, Base: transport, Offset: icmpKind, Len: 1},
	&expr.Range{Op: equal, Register: 1, FromData: []byte{icmp6RouterAsk}, ToData: []byte{icmp6Redirect}},
}

// notLinkLocal leaves out fe80::/10.
func notLinkLocal(base expr.PayloadBase, offset int) rule {
	return masked(base, offset, []byte{0xff, 0xc0}, differ, []byte{0xfe, 0x80})
}

// isHeld says whether the guest is held to its addresses: where it has one, it has none of the other family either.
func (b *builder) isHeld() bool { return len(b.allowed) > 0 }

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

// leave keeps guests apart that are isolated, and from dom0's services by way of a router, which would send what it
// gets back to dom0 as if it came from outside.
func (b *builder) leave() []rule {
	if b.guest.Isolated {
		b.drop(Neighbour, named(expr.MetaKeyOIFNAME, setGuests, false))
	}
	b.drop(Neighbour, named(expr.MetaKeyOIFNAME, setIsolated, false))
	toNIC := named(expr.MetaKeyOIFNAME, setGuests, true)
	b.drop(ByRouter, toNIC, ether(etherIPv4), inSet(network, ip4To, 4, setHost4, false))
	b.drop(ByRouter, toNIC, ether(etherIPv6), inSet(network, ip6To, 16, setHost6, false))
	return b.take()
}

// What a guest may send to dom0 of that to which dom0 answers, or of which it remembers the sender: packets a second,
// and at once. With the sizes that package sysctl gives dom0's tables of neighbours, 50
// guests do not fill them: in 5 s they bring 5000.
const (
	askRate  = 20
	askBurst = 60
)

// host has what the guest sends to dom0.
func (b *builder) host() []rule {
	limit := rule{&expr.Limit{
		Type: expr.LimitTypePkts, Rate: askRate, Over: true, Unit: expr.LimitTimeSecond, Burst: askBurst,
	}}
	b.drop(Flood, ether(etherARP), inSet(network, arpTarget, 4, setHost4, false), limit)
	b.drop(Flood, ether(etherIPv4), over(unix.IPPROTO_ICMP), limit)
	b.drop(Flood, ether(etherIPv6), over(unix.IPPROTO_ICMPV6), limit)
	return b.take()
}

// to has all that the guest gets. One that may have no address of IPv6 but a link-local one is kept from router
// advertisements, so that it does not make itself one and wonder why nothing answers.
func (b *builder) to() []rule {
	b.limit()
	if b.isHeld() && !b.guest.trusts(SpoofedIP) && !slices.ContainsFunc(b.allowed, netip.Addr.Is6) {
		b.add(icmp6(icmp6RouterAd), verdict(expr.VerdictDrop))
	}
	b.learn()
	b.add(count(counterOf(b.vif.UUID, counterRx)))
	return b.take()
}
