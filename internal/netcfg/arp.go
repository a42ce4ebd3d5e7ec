package netcfg

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Offsets in an ARP packet for IPv4 over Ethernet (RFC 826).
const (
	arpOperation = 6
	arpSenderMAC = 8
	arpSenderIP  = 14
	arpTargetIP  = 24
	arpLength    = 28
)

// Operations of ARP packets.
const (
	arpRequest = 1
	arpReply   = 2
)

// arpForIPv4 is how such a packet begins: Ethernet, IPv4, and the lengths of their addresses.
var arpForIPv4 = []byte{0, 1, 8, 0, 6, 4}

// arpPacket is a request or reply.
type arpPacket struct {
	operation uint16
	mac       [6]byte    // the sender's
	sender    netip.Addr // 0.0.0.0 in a probe
	target    netip.Addr
}

// parseARP reads an ARP packet, which begins behind the Ethernet header. It returns false for anything else.
func parseARP(packet []byte) (arpPacket, bool) {
	if len(packet) < arpLength || !bytes.HasPrefix(packet, arpForIPv4) {
		return arpPacket{}, false
	}
	p := arpPacket{
		operation: binary.BigEndian.Uint16(packet[arpOperation:]),
		mac:       [6]byte(packet[arpSenderMAC:]),
		sender:    netip.AddrFrom4([4]byte(packet[arpSenderIP:])),
		target:    netip.AddrFrom4([4]byte(packet[arpTargetIP:])),
	}
	return p, p.operation == arpRequest || p.operation == arpReply
}

// arpFrame returns a broadcast ARP request. With sender 0.0.0.0 it is a probe, with sender and target the same an
// announcement (RFC 5227, section 1.1).
func arpFrame(mac net.HardwareAddr, sender, target netip.Addr) []byte {
	packet := make([]byte, arpLength)
	copy(packet, arpForIPv4)
	binary.BigEndian.PutUint16(packet[arpOperation:], arpRequest)
	copy(packet[arpSenderMAC:], mac)
	copy(packet[arpSenderIP:], sender.AsSlice())
	copy(packet[arpTargetIP:], target.AsSlice())
	return broadcastFrame(mac, unix.ETH_P_ARP, packet)
}

// conflictFilter passes the ARP packets that can show that another host has, or probes for, an address.
func conflictFilter(address netip.Addr) []unix.SockFilter {
	number := binary.BigEndian.Uint32(address.AsSlice())
	return []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 12},                            // EtherType
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.ETH_P_ARP, Jt: 0, Jf: 8}, //
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: vlanTag},                       // VLAN
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: vlanID, Jt: 6, Jf: 0},        //
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: ethernetHeader + arpSenderIP},  //
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: number, Jt: 3, Jf: 0},         //
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 0, Jt: 0, Jf: 3},              // a probe
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: ethernetHeader + arpTargetIP},  //
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: number, Jt: 0, Jf: 1},         //
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffff},                                      // all of it
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},                                           // nothing
	}
}
