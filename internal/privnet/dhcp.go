package privnet

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"
	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/dhcpwire"
	"github.com/zerodisc/zerodisc/internal/guarded"
	"github.com/zerodisc/zerodisc/internal/vifrules"
)

// dhcpServer answers the guests on a bridge.
type dhcpServer struct {
	prefix  netip.Prefix // dom0's address there
	domain  string
	time    leaseTime
	find    func(mac string) (vifrules.Vif, bool)
	retired *atomic.Bool // it takes addresses back, and gives none
	// exclusive: there is no other DHCP server, so whoever asks for an address that is not its own is told so.
	exclusive bool
	// isRouter and isResolver say what guests are told that dom0 is.
	isRouter, isResolver bool
	leased               func(vifrules.Vif)
}

// leaseTime is how long a lease lasts, and when the guest asks for more (RFC 2131, T1 and T2).
type leaseTime struct{ length, renew, rebind time.Duration }

// Leases of a network that lasts, and of one that may end at any time. Guests have to ask soon then.
var (
	longLease  = leaseTime{time.Hour, 30 * time.Minute, 50 * time.Minute}
	shortLease = leaseTime{time.Minute, 15 * time.Second, 40 * time.Second}
)

// maxAsking is how many messages wait to be answered; more are dropped. Clients ask again.
const maxAsking = 64

// listenDHCP opens the server's socket, on the bridge only.
func listenDHCP(bridge string) (*net.UDPConn, error) {
	return server4.NewIPv4UDPConn(bridge, &net.UDPAddr{Port: dhcpv4.ServerPort})
}

// run answers until ctx ends.
func (d *dhcpServer) run(ctx context.Context, conn *net.UDPConn) error {
	asking := make(chan *dhcpv4.DHCPv4, maxAsking)
	server, err := server4.NewServer("", nil, func(_ net.PacketConn, _ net.Addr, m *dhcpv4.DHCPv4) {
		select {
		case asking <- m:
		default:
		}
	}, server4.WithConn(conn))
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- guarded.Func(ctx, server.Serve)() }()
	defer server.Close()
	for {
		select {
		case m := <-asking:
			d.handle(conn, m)
		case err := <-ended:
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

func (d *dhcpServer) handle(conn *net.UDPConn, m *dhcpv4.DHCPv4) {
	reply := d.decide(m)
	if reply == nil {
		return
	}
	to := dhcpwire.Destination(m, reply)
	source := &unix.Inet4Pktinfo{Spec_dst: d.prefix.Addr().As4()}
	if _, _, err := conn.WriteMsgUDPAddrPort(reply.ToBytes(), unix.PktInfo4(source), to); err != nil {
		return // the guest asks again
	}
	if vif, ok := d.find(m.ClientHWAddr.String()); ok && reply.MessageType() == dhcpv4.MessageTypeAck {
		d.leased(vif)
	}
}

// decide makes the reply to a message (RFC 2131, section 4.3); nil: none.
func (d *dhcpServer) decide(m *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	if !dhcpwire.IsFor(d.prefix.Addr(), m) {
		return nil
	}
	vif, known := d.find(m.ClientHWAddr.String())
	if !known {
		return nil
	}
	switch kind := m.MessageType(); {
	case kind == dhcpv4.MessageTypeDiscover && !d.retired.Load():
		return d.lease(m, dhcpv4.MessageTypeOffer, vif.Lease)
	case kind == dhcpv4.MessageTypeRequest:
		return d.grant(m, vif.Lease)
	case kind == dhcpv4.MessageTypeInform && !d.retired.Load():
		return d.lease(m, dhcpv4.MessageTypeAck, netip.Addr{})
	}
	return nil // a release or a decline changes nothing: the address is the guest's own
}

// grant answers a REQUEST.
func (d *dhcpServer) grant(m *dhcpv4.DHCPv4, own netip.Addr) *dhcpv4.DHCPv4 {
	wanted, here := dhcpwire.Wanted(m), d.prefix.Contains(dhcpwire.Wanted(m))
	switch {
	case wanted == own && !d.retired.Load():
		return d.lease(m, dhcpv4.MessageTypeAck, own)
	case here || d.exclusive && !d.retired.Load():
		return dhcpwire.Reply(m, dhcpv4.MessageTypeNak, d.prefix.Addr())
	}
	return nil // another server's
}

// lease makes a reply with all that the guest has to know; without an address for one that has its own.
func (d *dhcpServer) lease(m *dhcpv4.DHCPv4, kind dhcpv4.MessageType, address netip.Addr) *dhcpv4.DHCPv4 {
	reply, self := dhcpwire.Reply(m, kind, d.prefix.Addr()), d.prefix.Addr().AsSlice()
	if kind == dhcpv4.MessageTypeAck {
		reply.ClientIPAddr = m.ClientIPAddr
	}
	reply.UpdateOption(dhcpv4.OptSubnetMask(net.CIDRMask(d.prefix.Bits(), 32)))
	if d.isRouter {
		reply.UpdateOption(dhcpv4.OptRouter(self))
	}
	if d.isResolver {
		reply.UpdateOption(dhcpv4.OptDNS(self))
	}
	reply.UpdateOption(dhcpv4.OptDomainName(d.domain))
	if address.IsValid() {
		reply.YourIPAddr = address.AsSlice()
		reply.UpdateOption(dhcpv4.OptIPAddressLeaseTime(d.time.length))
		reply.UpdateOption(dhcpv4.OptRenewTimeValue(d.time.renew))
		reply.UpdateOption(dhcpv4.OptRebindingTimeValue(d.time.rebind))
	}
	return reply
}
