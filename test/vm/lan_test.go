//go:build vm && full

package vm

import (
	"encoding/binary"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/dhcpv6/server6"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// lan is a switch in the test's network namespace. This machine is on it, with a web server, and as its router.
type lan struct {
	t    *testing.T
	link *netlink.Bridge
	mac  net.HardwareAddr
}

// Addresses of this machine on a lan.
const (
	lanName    = "lan0"
	lanServer  = lanNetwork + "1"
	lanPrefix6 = "2001:db8:77::"
	lanServer6 = lanPrefix6 + "1"
	lanRouter6 = "fe80::1"
)

// layLAN makes a switch with a port for each NIC that may be plugged into it.
func layLAN(t *testing.T, ports ...string) *lan {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = lanName, net.HardwareAddr{2, 0, 0, 0, 0, 1}
	noSnooping := false
	l := &lan{t: t, link: &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &noSnooping}, mac: attrs.HardwareAddr}
	l.do(netlink.LinkAdd(l.link))
	for _, name := range ports {
		port := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: name}, Mode: netlink.TUNTAP_MODE_TAP}
		if err := netlink.LinkAdd(port); err != nil {
			t.Skipf("no tap interface: %v", err)
		}
		l.do(netlink.LinkSetMaster(port, l.link))
		l.do(netlink.LinkSetUp(port))
	}
	for _, cidr := range []string{lanServer + "/24", lanServer6 + "/64", lanRouter6 + "/64"} {
		l.address(cidr)
	}
	l.do(netlink.LinkSetUp(l.link))
	return l
}

func (l *lan) do(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// address gives this machine one more address, without asking whether somebody else has it.
func (l *lan) address(cidr string) {
	l.t.Helper()
	address, err := netlink.ParseAddr(cidr)
	l.do(err)
	if address.IP.To4() == nil {
		address.Flags = unix.IFA_F_NODAD
	}
	l.do(netlink.AddrAdd(l.link, address))
}

// serveHTTP serves h at lanServer, port 80.
func (l *lan) serveHTTP(h http.Handler) {
	l.t.Helper()
	listener, err := net.Listen("tcp", lanServer+":80")
	l.do(err)
	server := &http.Server{Handler: h}
	go func() { _ = server.Serve(listener) }()
	l.t.Cleanup(func() { _ = server.Close() })
}

// serveDHCP is a DHCP server with an address of its own, which it gets if need be. It gives each NIC the address that
// is the NIC's last number after first.
func (l *lan) serveDHCP(own string, first byte) {
	l.t.Helper()
	if own != lanServer {
		l.address(own + "/24")
	}
	server := net.ParseIP(own).To4()
	handle := func(conn net.PacketConn, peer net.Addr, request *dhcpv4.DHCPv4) {
		address := net.ParseIP(lanNetwork + "0").To4()
		address[3] = first + request.ClientHWAddr[5]%50
		kind := dhcpv4.MessageTypeOffer
		if request.MessageType() == dhcpv4.MessageTypeRequest {
			kind = dhcpv4.MessageTypeAck
			asked, chosen := request.RequestedIPAddress(), request.ServerIdentifier()
			if chosen != nil && !chosen.Equal(server) || chosen == nil && asked != nil && !asked.Equal(address) {
				return // it is for another server
			}
		} else if request.MessageType() != dhcpv4.MessageTypeDiscover {
			return
		}
		answer, err := dhcpv4.NewReplyFromRequest(request, dhcpv4.WithMessageType(kind), dhcpv4.WithYourIP(address),
			dhcpv4.WithServerIP(server), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(server)),
			dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithRouter(net.ParseIP(lanServer)),
			dhcpv4.WithLeaseTime(3600))
		if err == nil {
			_, _ = conn.WriteTo(answer.ToBytes(), peer)
		}
	}
	s, err := server4.NewServer(lanName, &net.UDPAddr{Port: dhcpv4.ServerPort}, handle)
	l.do(err)
	go func() { _ = s.Serve() }()
	l.t.Cleanup(func() { _ = s.Close() })
}

// advertise says every second that this machine is the router, from whose prefix one takes an address, and that there
// is a DHCPv6 server (RFC 4861, section 4.2).
func (l *lan) advertise() {
	l.t.Helper()
	conn, err := net.ListenPacket("ip6:ipv6-icmp", lanRouter6+"%"+lanName)
	l.do(err)
	l.t.Cleanup(func() { conn.Close() })
	l.do(ipv6.NewPacketConn(conn).SetMulticastHopLimit(255))
	prefix := netip.MustParseAddr(lanPrefix6).As16()
	const managed, onLinkAndAutonomous, lifetime = 0x80, 0xc0, 1800
	advert := []byte{134, 0, 0, 0, 64, managed, lifetime >> 8, lifetime & 0xff, 0, 0, 0, 0, 0, 0, 0, 0}
	advert = append(advert, 3, 4, 64, onLinkAndAutonomous)
	advert = binary.BigEndian.AppendUint32(advert, 7200)
	advert = binary.BigEndian.AppendUint32(advert, 3600)
	advert = append(append(advert, 0, 0, 0, 0), prefix[:]...)
	go func() {
		for ; l.t.Context().Err() == nil; time.Sleep(time.Second) { // it fails while no machine is there
			_, _ = conn.WriteTo(advert, &net.IPAddr{IP: net.IPv6linklocalallnodes, Zone: lanName})
		}
	}()
}

// serveDHCP6 is a DHCPv6 server, which gives each NIC the address that ends with the NIC's last number.
func (l *lan) serveDHCP6() {
	l.t.Helper()
	id := &dhcpv6.DUIDLL{HWType: 1, LinkLayerAddr: l.mac}
	handle := func(conn net.PacketConn, peer net.Addr, packet dhcpv6.DHCPv6) {
		request, err := packet.GetInnerMessage()
		if err != nil {
			return
		}
		ia := request.Options.OneIANA()
		if ia == nil {
			return
		}
		address := net.ParseIP(lanPrefix6 + "6:0")
		address[15] = ia.IaId[3]
		modifiers := []dhcpv6.Modifier{
			dhcpv6.WithServerID(id), dhcpv6.WithIAID(ia.IaId), dhcpv6.WithIANA(dhcpv6.OptIAAddress{
				IPv6Addr: address, PreferredLifetime: time.Hour, ValidLifetime: time.Hour,
			}),
		}
		answer, err := dhcpv6.NewReplyFromMessage(request, modifiers...)
		if request.MessageType == dhcpv6.MessageTypeSolicit {
			answer, err = dhcpv6.NewAdvertiseFromSolicit(request, modifiers...)
		}
		if err == nil {
			_, _ = conn.WriteTo(answer.ToBytes(), peer)
		}
	}
	s, err := server6.NewServer(lanName, nil, handle)
	l.do(err)
	go func() { _ = s.Serve() }()
	l.t.Cleanup(func() { _ = s.Close() })
}
