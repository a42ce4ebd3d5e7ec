// Package dhcpwire has what every DHCPv4 server here needs to understand messages and to reply to them: that of
// mkiso serve, and dom0's on private bridges. It decides nothing; who gets which address is theirs.
package dhcpwire

import (
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// ToAddr converts an address of the DHCP library; not valid if there is none.
func ToAddr(ip []byte) netip.Addr {
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap()
}

// Unspecified says whether a field of a message has no address.
func Unspecified(ip []byte) bool {
	addr := ToAddr(ip)
	return !addr.IsValid() || addr.IsUnspecified()
}

// IsFor says whether a message is one that a client on this link, not a relay, sent to every server or to the one
// with the address.
func IsFor(server netip.Addr, m *dhcpv4.DHCPv4) bool {
	return m.OpCode == dhcpv4.OpcodeBootRequest &&
		m.HWType == iana.HWTypeEthernet && len(m.ClientHWAddr) == 6 &&
		Unspecified(m.GatewayIPAddr) &&
		IsOrNone(server, m.ServerIPAddr) && IsOrNone(server, m.ServerIdentifier())
}

// IsOrNone says whether a field has the address, or none.
func IsOrNone(server netip.Addr, ip []byte) bool { return Unspecified(ip) || ToAddr(ip) == server }

// State is that of a client which sends a REQUEST (RFC 2131, figure 5 and section 4.3.2).
type State int

// The states.
const (
	Selecting  State = iota // it takes an offer of this server's
	InitReboot              // it wants the address that it had before it was switched off
	Renewing                // it has an address and wants to keep it; rebinding looks the same
)

// StateOf tells the state by RFC 2131, table 4.
func StateOf(m *dhcpv4.DHCPv4) State {
	switch {
	case !Unspecified(m.ServerIdentifier()):
		return Selecting
	case !Unspecified(m.RequestedIPAddress()):
		return InitReboot
	}
	return Renewing
}

// Wanted returns the address that a REQUEST is about.
func Wanted(m *dhcpv4.DHCPv4) netip.Addr {
	if StateOf(m) == Renewing {
		return ToAddr(m.ClientIPAddr)
	}
	return ToAddr(m.RequestedIPAddress())
}

// Reply has what all replies of a server have.
func Reply(m *dhcpv4.DHCPv4, kind dhcpv4.MessageType, server netip.Addr) *dhcpv4.DHCPv4 {
	reply := &dhcpv4.DHCPv4{Options: dhcpv4.Options{}}
	for _, modify := range []dhcpv4.Modifier{
		dhcpv4.WithReply(m),
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(server.AsSlice())),
		dhcpv4.WithOptionCopied(m, dhcpv4.OptionClientIdentifier), // RFC 6842
	} {
		modify(reply)
	}
	return reply
}

// Destination says where a reply to a client goes: broadcast to one that has no address yet, whether it asked for
// that or not (RFC 2131, section 4.1, leaves it to the server), else to its address.
func Destination(m, reply *dhcpv4.DHCPv4) netip.AddrPort {
	if reply.MessageType() == dhcpv4.MessageTypeNak || Unspecified(m.ClientIPAddr) {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), dhcpv4.ClientPort)
	}
	return netip.AddrPortFrom(ToAddr(m.ClientIPAddr), dhcpv4.ClientPort)
}
