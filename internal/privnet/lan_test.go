package privnet

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"
)

// serveDHCP is the LAN's DHCP server, which answers when it is switched on.
func (m *machine) serveDHCP(t *testing.T) (on *atomic.Bool) {
	t.Helper()
	on = &atomic.Bool{}
	var conn *net.UDPConn
	m.inside(func() { conn = must(server4.NewIPv4UDPConn("eth0", &net.UDPAddr{Port: dhcpv4.ServerPort}))(t) })
	server := must(server4.NewServer("", nil, func(c net.PacketConn, _ net.Addr, m *dhcpv4.DHCPv4) {
		if on.Load() {
			_, _ = c.WriteTo(lanAnswer(m).ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: dhcpv4.ClientPort})
		}
	}, server4.WithConn(conn)))(t)
	go server.Serve()
	t.Cleanup(func() { server.Close() })
	return on
}

func lanAnswer(m *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	kind := dhcpv4.MessageTypeOffer
	if m.MessageType() == dhcpv4.MessageTypeRequest {
		kind = dhcpv4.MessageTypeAck
	}
	self := net.ParseIP("192.0.2.1")
	reply, _ := dhcpv4.NewReplyFromRequest(m, dhcpv4.WithMessageType(kind), dhcpv4.WithServerIP(self),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(self)), dhcpv4.WithYourIP(net.ParseIP("192.0.2.50")),
		dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithRouter(self))
	reply.UpdateOption(dhcpv4.OptIPAddressLeaseTime(time.Hour))
	return reply
}
