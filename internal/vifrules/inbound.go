package vifrules

import (
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// enter has what comes from other ports, and lets in what the guest's list has. ARP, ICMP's errors and what
// finds IPv6 neighbours always come in.
func (b *builder) enter() []rule {
	if b.guest.Inbound == nil {
		return nil
	}
	for _, allowed := range b.guest.Inbound {
		b.allow(allowed)
	}
	b.allowReplies()
	b.drop(NotInbound, ether(etherIPv4))
	b.drop(NotInbound, ether(etherIPv6))
	return b.take()
}

func (b *builder) allow(i Inbound) {
	from := rule{}
	if i.From.IsValid() {
		from = addressIn(i.From)
	}
	switch i.Protocol {
	case ICMP:
		b.add(from, icmp(icmpEcho), accept())
		b.add(from, icmp6(icmp6Echo), accept())
	case TCP:
		b.add(from, over(unix.IPPROTO_TCP), allPorts(i), accept())
	case UDP:
		b.add(from, over(unix.IPPROTO_UDP), allPorts(i), accept())
	case Any:
		b.add(from, accept())
	}
}

func allPorts(i Inbound) rule {
	if i.First == 0 && i.Last == 0 {
		return nil
	}
	return portBetween(i.First, i.Last)
}

// TCP's flags (RFC 9293).
const tcpSyn, tcpAck = 0x02, 0x10

// allowReplies lets in what answers the guest. TCP that does not open a connection is answered by a reset at
// most. A fragment that is not the first is of no use without that.
func (b *builder) allowReplies() {
	b.add(over(unix.IPPROTO_TCP),
		masked(transport, tcpFlags, []byte{tcpSyn | tcpAck}, differ, []byte{tcpSyn}), accept())
	b.add(udp(etherIPv4, portTo, portDHCPClient), accept())
	b.add(udp(etherIPv6, portTo, portDHCP6Client), accept())
	for _, f := range replyFamilies {
		b.add(f.key(f.from, portFrom, portTo), rule{&expr.Lookup{SourceRegister: 1, SetName: b.replies(f)}}, accept())
	}
	b.add(ether(etherIPv4), over(unix.IPPROTO_ICMP), payload(transport, icmpKind, differ, []byte{icmpEcho}), accept())
	b.add(ether(etherIPv6), over(unix.IPPROTO_ICMPV6), payload(transport, icmpKind, differ, []byte{icmp6Echo}),
		accept())
	b.add(ether(etherIPv4), masked(network, ip4Fragment, []byte{0x1f, 0xff}, differ, []byte{0, 0}), accept())
	b.add(ether(etherIPv6), laterFragment6, accept())
}

// What UDP replies are known by: the other's address and port, and the guest's port.
const (
	maxReplies = 4096 // for each vif and family
	replyTime  = 3 * time.Minute
)

// replyFamily is IPv4 or IPv6, for UDP's replies.
type replyFamily struct {
	name     string
	protocol uint16
	kind     nftables.SetDatatype
	length   int // of an address, bytes
	from, to int // offsets of the addresses
}

var replyFamilies = []replyFamily{
	{"udp4", etherIPv4, nftables.TypeIPAddr, 4, ip4From, ip4To},
	{"udp6", etherIPv6, nftables.TypeIP6Addr, 16, ip6From, ip6To},
}

// key loads an address and two ports into the registers from 1 (that is, from 8) on, of 4 bytes each.
func (f replyFamily) key(address, far, near int) rule {
	port := uint32(unix.NFT_REG32_00 + f.length/4)
	return when(ether(f.protocol), over(unix.IPPROTO_UDP), rule{
		&expr.Payload{DestRegister: 1, Base: network, Offset: uint32(address), Len: uint32(f.length)},
		&expr.Payload{DestRegister: port, Base: transport, Offset: uint32(far), Len: 2},
		&expr.Payload{DestRegister: port + 1, Base: transport, Offset: uint32(near), Len: 2},
	})
}

func (b *builder) replies(f replyFamily) string { return chainOf(f.name, b.vif.Name) }

// noteReplies notes whom the guest sends UDP to.
func (b *builder) noteReplies() {
	if b.guest.Inbound == nil {
		return
	}
	for _, f := range replyFamilies {
		b.add(f.key(f.to, portTo, portFrom), rule{&expr.Dynset{
			SrcRegKey: 1, SetName: b.replies(f), Operation: unix.NFT_DYNSET_OP_UPDATE,
		}})
	}
}
