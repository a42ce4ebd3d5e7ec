package vifrules

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// rule is what the kernel evaluates from left to right; the first part that does not match ends it.
type rule []expr.Any

// when joins parts to a rule.
func when(parts ...rule) rule { return slices.Concat(parts...) }

// Numbers of protocols (linux/if_ether.h, RFC 1700) that x/sys/unix has no short names for.
const (
	etherIPv4 = unix.ETH_P_IP
	etherIPv6 = unix.ETH_P_IPV6
	etherARP  = unix.ETH_P_ARP
)

const (
	equal  = expr.CmpOpEq
	differ = expr.CmpOpNeq
	below  = expr.CmpOpLt
)

func big16(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

// ifname is a name as the kernel compares it: with all 16 bytes.
func ifname(name string) []byte {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	return padded
}

func meta(key expr.MetaKey, op expr.CmpOp, data []byte) rule {
	return rule{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: data}}
}

// ether matches what is in the frame: IPv4, IPv6 or ARP.
func ether(protocol uint16) rule { return meta(expr.MetaKeyPROTOCOL, equal, big16(protocol)) }

// over matches what IP carries, behind IPv6's extension headers too.
func over(protocol byte) rule { return meta(expr.MetaKeyL4PROTO, equal, []byte{protocol}) }

// inName and outName match an interface, inPrefix the beginning of its name.
func inName(name string) rule  { return meta(expr.MetaKeyIIFNAME, equal, ifname(name)) }
func outName(name string) rule { return meta(expr.MetaKeyOIFNAME, equal, ifname(name)) }
func inPrefix(prefix string) rule {
	return meta(expr.MetaKeyIIFNAME, equal, []byte(prefix))
}

// Where a payload begins.
const (
	link      = expr.PayloadBaseLLHeader
	network   = expr.PayloadBaseNetworkHeader
	transport = expr.PayloadBaseTransportHeader
)

// payload matches bytes of the packet.
func payload(base expr.PayloadBase, offset int, op expr.CmpOp, data []byte) rule {
	return rule{
		&expr.Payload{DestRegister: 1, Base: base, Offset: uint32(offset), Len: uint32(len(data))},
		&expr.Cmp{Op: op, Register: 1, Data: data},
	}
}

// masked matches the bits of the packet that the mask has.
func masked(base expr.PayloadBase, offset int, mask []byte, op expr.CmpOp, data []byte) rule {
	n := uint32(len(mask))
	return rule{
		&expr.Payload{DestRegister: 1, Base: base, Offset: uint32(offset), Len: n},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: n, Mask: mask, Xor: make([]byte, n)},
		&expr.Cmp{Op: op, Register: 1, Data: data},
	}
}

// inSet looks bytes of the packet up in a set.
func inSet(base expr.PayloadBase, offset, length int, set string, inverted bool) rule {
	return rule{
		&expr.Payload{DestRegister: 1, Base: base, Offset: uint32(offset), Len: uint32(length)},
		&expr.Lookup{SourceRegister: 1, SetName: set, Invert: inverted},
	}
}

// named looks the name of an interface up in a set.
func named(key expr.MetaKey, set string, inverted bool) rule {
	return rule{
		&expr.Meta{Key: key, Register: 1},
		&expr.Lookup{SourceRegister: 1, SetName: set, Invert: inverted},
	}
}

// dispatch jumps to the chain that a map has for the name of an interface.
func dispatch(key expr.MetaKey, verdicts string) rule {
	return rule{
		&expr.Meta{Key: key, Register: 1},
		&expr.Lookup{SourceRegister: 1, DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true, SetName: verdicts},
	}
}

// Offsets in headers, bytes.
const (
	etherTo, etherFrom, etherType = 0, 6, 12
	arpKinds, arpMAC, arpIP       = 0, 8, 14
	arpTarget                     = 24
	ip4Fragment, ip4From, ip4To   = 6, 12, 16
	ip6From, ip6To                = 8, 24
	ports, portFrom, portTo       = 0, 0, 2
	tcpFlags                      = 13
	icmpKind                      = 0
	ndTarget                      = 8
)

// addressIn matches a source address within a prefix, whichever family it is of.
func addressIn(from netip.Prefix) rule {
	mask := net.CIDRMask(from.Bits(), from.Addr().BitLen())
	data := from.Masked().Addr().AsSlice()
	if from.Addr().Is4() {
		return when(ether(etherIPv4), masked(network, ip4From, mask, equal, data))
	}
	return when(ether(etherIPv6), masked(network, ip6From, mask, equal, data))
}

// portBetween matches a destination port.
func portBetween(first, last uint16) rule {
	load := &expr.Payload{DestRegister: 1, Base: transport, Offset: portTo, Len: 2}
	if last == 0 || last == first {
		return rule{load, &expr.Cmp{Op: equal, Register: 1, Data: big16(first)}}
	}
	return rule{load, &expr.Range{Op: equal, Register: 1, FromData: big16(first), ToData: big16(last)}}
}

// icmp matches a kind of ICMP (IPv4) or ICMPv6 message.
func icmp(kind byte) rule {
	return when(ether(etherIPv4), over(unix.IPPROTO_ICMP), payload(transport, icmpKind, equal, []byte{kind}))
}

func icmp6(kind byte) rule {
	return when(ether(etherIPv6), over(unix.IPPROTO_ICMPV6), payload(transport, icmpKind, equal, []byte{kind}))
}

// udp matches a UDP port, at portFrom or portTo.
func udp(protocol uint16, offset int, port uint16) rule {
	return when(ether(protocol), over(unix.IPPROTO_UDP), payload(transport, offset, equal, big16(port)))
}

func verdict(kind expr.VerdictKind) rule { return rule{&expr.Verdict{Kind: kind}} }

func accept() rule { return verdict(expr.VerdictAccept) }

// count counts in a counter of the table.
func count(name string) rule {
	return rule{&expr.Objref{Type: int(nftables.ObjTypeCounter), Name: name}}
}

// dropped counts and drops.
func dropped(counter string) rule { return when(count(counter), verdict(expr.VerdictDrop)) }

// mark notes on the packet who sent it, for dom0's own chains.
func mark(value uint32) rule {
	return rule{
		&expr.Immediate{Register: 1, Data: binary.NativeEndian.AppendUint32(nil, value)},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1},
	}
}

// marked matches such a note.
func marked(op expr.CmpOp, value uint32) rule {
	return meta(expr.MetaKeyMARK, op, binary.NativeEndian.AppendUint32(nil, value))
}

// firstFragment6 and laterFragment6 match IPv6's fragment header (RFC 8200, section 4.5) without and with an offset.
var firstFragment6, laterFragment6 = fragment6(equal), fragment6(differ)

func fragment6(op expr.CmpOp) rule {
	return rule{
		&expr.Exthdr{DestRegister: 1, Type: unix.IPPROTO_FRAGMENT, Offset: 2, Len: 2, Op: expr.ExthdrOpIpv6},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 2, Mask: []byte{0xff, 0xf8}, Xor: []byte{0, 0}},
		&expr.Cmp{Op: op, Register: 1, Data: []byte{0, 0}},
	}
}
