package netcfg

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Lengths and offsets of IPv6 and what is in it (RFC 8200, section 3; RFC 4443, section 2.1).
const (
	ipv6Header   = 40
	ipv6Next     = 6 // the next header
	ipv6HopLimit = 7
	ipv6Source   = 8
	ipv6Target   = 24
	icmp6Type    = 0
	icmp6Body    = 4 // type, code, checksum
)

// Types of ICMPv6 messages (RFC 4861, section 4).
const (
	routerSolicitation    = 133
	routerAdvertisement   = 134
	neighbourSolicitation = 135
	neighbourAdvert       = 136
)

// neighbourHops is the hop limit of all neighbour discovery: what crossed a router has a lower one.
const neighbourHops = 255

var (
	allNodes   = netip.MustParseAddr("ff02::1")
	allRouters = netip.MustParseAddr("ff02::2")
)

// packet6 is an IPv6 packet without extension headers: neighbour discovery and DHCPv6 use none.
type packet6 struct {
	source, target netip.Addr
	next, hops     byte
	payload        []byte
}

// frame6 returns an Ethernet frame with a packet to a multicast address. checksum is the offset of the payload's
// checksum, which is filled in.
func frame6(mac net.HardwareAddr, p packet6, checksum int) []byte {
	target := p.target.As16()
	frame := append(make([]byte, 0, ethernetHeader+ipv6Header+len(p.payload)), 0x33, 0x33)
	frame = append(frame, target[12:]...)
	frame = append(frame, mac...)
	frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_IPV6)
	frame = append(frame, 0x60, 0, 0, 0)
	frame = binary.BigEndian.AppendUint16(frame, uint16(len(p.payload)))
	frame = append(frame, p.next, p.hops)
	frame = append(frame, p.source.AsSlice()...)
	frame = append(frame, p.target.AsSlice()...)
	frame = append(frame, p.payload...)
	sum := checksum6(p)
	binary.BigEndian.PutUint16(frame[ethernetHeader+ipv6Header+checksum:], sum)
	return frame
}

// parseFrame6 reads a frame with an IPv6 packet whose checksum is right, or unsummed as in [tap]. The payload is ICMPv6
// or UDP.
func parseFrame6(frame []byte, unsummed bool) (packet6, bool) {
	if len(frame) < ethernetHeader+ipv6Header || binary.BigEndian.Uint16(frame[12:]) != unix.ETH_P_IPV6 {
		return packet6{}, false
	}
	header, payload := frame[ethernetHeader:ethernetHeader+ipv6Header], frame[ethernetHeader+ipv6Header:]
	length := int(binary.BigEndian.Uint16(header[4:]))
	if header[0]>>4 != 6 || length > len(payload) {
		return packet6{}, false
	}
	p := packet6{
		source: netip.AddrFrom16([16]byte(header[ipv6Source:])),
		target: netip.AddrFrom16([16]byte(header[ipv6Target:])),
		next:   header[ipv6Next], hops: header[ipv6HopLimit],
		payload: payload[:length],
	}
	return p, unsummed || checksum6(p) == 0
}

// checksum6 sums up a payload and its pseudo header (RFC 8200, section 8.1): 0 for one whose checksum is right, and
// the checksum where that is still 0.
func checksum6(p packet6) uint16 {
	var sum uint32
	add := func(data []byte) {
		for ; len(data) > 1; data = data[2:] {
			sum += uint32(binary.BigEndian.Uint16(data))
		}
		if len(data) == 1 {
			sum += uint32(data[0]) << 8
		}
	}
	add(p.source.AsSlice())
	add(p.target.AsSlice())
	sum += uint32(len(p.payload)) + uint32(p.next)
	add(p.payload)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// routerQuestion asks all routers for an advertisement. It comes from no address, so that no router notes one.
func routerQuestion(mac net.HardwareAddr) []byte {
	payload := make([]byte, 8)
	payload[icmp6Type] = routerSolicitation
	return frame6(mac, packet6{netip.IPv6Unspecified(), allRouters, unix.IPPROTO_ICMPV6, neighbourHops, payload}, 2)
}

// neighbourQuestion asks whether somebody has an address (RFC 4862, section 5.4.2).
func neighbourQuestion(mac net.HardwareAddr, address netip.Addr) []byte {
	payload := make([]byte, 8, 24)
	payload[icmp6Type] = neighbourSolicitation
	payload = append(payload, address.AsSlice()...)
	return frame6(mac, packet6{
		netip.IPv6Unspecified(), solicitedNode(address), unix.IPPROTO_ICMPV6, neighbourHops, payload,
	}, 2)
}

// solicitedNode is the multicast address that whoever has the address listens to (RFC 4291, section 2.7.1).
func solicitedNode(address netip.Addr) netip.Addr {
	bytes := [16]byte{0xff, 0x02, 11: 0x01, 12: 0xff}
	full := address.As16()
	copy(bytes[13:], full[13:])
	return netip.AddrFrom16(bytes)
}

// claimed6 returns the address that a message shows to be another host's, or about to be: the target of an
// advertisement, and of a question that comes from no address.
func claimed6(p packet6) (netip.Addr, bool) {
	if p.next != unix.IPPROTO_ICMPV6 || p.hops != neighbourHops || len(p.payload) < 24 {
		return netip.Addr{}, false
	}
	target := netip.AddrFrom16([16]byte(p.payload[8:]))
	switch p.payload[icmp6Type] {
	case neighbourAdvert:
		return target, true
	case neighbourSolicitation:
		return target, p.source.IsUnspecified()
	}
	return netip.Addr{}, false
}

// fromMAC returns the address that a prefix of at most 64 bits and a MAC make (modified EUI-64, RFC 4291, appendix A).
func fromMAC(prefix netip.Prefix, mac net.HardwareAddr) netip.Addr {
	bytes := prefix.Masked().Addr().As16()
	copy(bytes[8:], []byte{mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
	return netip.AddrFrom16(bytes)
}

var linkLocal = netip.MustParsePrefix("fe80::/64")

// icmp6Filter passes ICMPv6 messages of one of two types that are in no VLAN.
func icmp6Filter(one, other uint32) []unix.SockFilter {
	const typeAt = ethernetHeader + ipv6Header + icmp6Type
	return []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 12},                                 //
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.ETH_P_IPV6, Jt: 0, Jf: 8},     //
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: vlanTag},                            // VLAN
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: vlanID, Jt: 6, Jf: 0},             //
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: ethernetHeader + ipv6Next},          // next header
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.IPPROTO_ICMPV6, Jt: 0, Jf: 4}, //
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: typeAt},                             // type
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: one, Jt: 1, Jf: 0},                 //
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: other, Jt: 0, Jf: 1},               //
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffff},                                           // all of it
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},                                                // nothing
	}
}

// udpToClient6Filter passes UDP packets to port 546 that are in no VLAN and have no extension headers.
var udpToClient6Filter = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 12},                              //
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.ETH_P_IPV6, Jt: 0, Jf: 7},  //
	{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: vlanTag},                         // VLAN
	{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: vlanID, Jt: 5, Jf: 0},          //
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: ethernetHeader + ipv6Next},       // next header
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.IPPROTO_UDP, Jt: 0, Jf: 3}, //
	{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: ethernetHeader + ipv6Header + 2}, // destination port
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: dhcp6ClientPort, Jt: 0, Jf: 1},  //
	{Code: unix.BPF_RET | unix.BPF_K, K: 0xffff},                                        // all of it
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},                                             // nothing
}
