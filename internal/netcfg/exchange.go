package netcfg

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/insomniacslk/dhcp/iana"
	"golang.org/x/sys/unix"
)

const dhcpClientPort = 68

// maxMessage is the largest message the client takes, in bytes (option 57): what fits into one
// Ethernet frame with its IP and UDP headers.
const maxMessage = 1472

// errNoAnswer is returned when no server answered in time.
var errNoAnswer = errors.New("no DHCP server answered")

// requestedOptions is the parameter request list (option 55).
var requestedOptions = []dhcpv4.OptionCode{
	dhcpv4.OptionSubnetMask,           // 1
	dhcpv4.OptionClasslessStaticRoute, // 121; before routers, as RFC 3442 asks
	dhcpv4.OptionRouter,               // 3
	dhcpv4.OptionDomainNameServer,     // 6
	dhcpv4.OptionHostName,             // 12
	dhcpv4.OptionDomainName,           // 15
	dhcpv4.OptionInterfaceMTU,         // 26
	dhcpv4.OptionBroadcastAddress,     // 28
	dhcpv4.OptionNTPServers,           // 42
	dhcpv4.OptionIPAddressLeaseTime,   // 51
	dhcpv4.OptionRenewTimeValue,       // 58
	dhcpv4.OptionRebindingTimeValue,   // 59
	dhcpv4.OptionDNSDomainSearchList,  // 119
}

// identity is what every message of one client says of it, and the way that they take.
type identity struct {
	mac      net.HardwareAddr
	hostname string // option 12; empty: not sent
	ifname   string // that is to have the address
	port     int    // index of the link that leads to the servers
}

// clientIdentifier is the MAC (RFC 2132, section 9.14), the same in every boot.
func (id identity) clientIdentifier() dhcpv4.Option {
	return dhcpv4.OptClientIdentifier(append([]byte{byte(iana.HWTypeEthernet)}, id.mac...))
}

// message builds a message with the options that RFC 2131, table 5, has in DISCOVER and REQUEST
// alike.
func (id identity) message(kind dhcpv4.MessageType, more ...dhcpv4.Modifier) (*dhcpv4.DHCPv4, error) {
	modifiers := []dhcpv4.Modifier{
		dhcpv4.WithHwAddr(id.mac),
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithOption(id.clientIdentifier()),
		dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(maxMessage)),
		dhcpv4.WithRequestedOptions(requestedOptions...),
	}
	if id.hostname != "" {
		modifiers = append(modifiers, dhcpv4.WithOption(dhcpv4.OptHostName(id.hostname)))
	}
	return dhcpv4.New(append(modifiers, more...)...)
}

// discover builds a DISCOVER; wanted, if valid, is the address the client would like to get.
func (id identity) discover(wanted netip.Addr) (*dhcpv4.DHCPv4, error) {
	if !wanted.IsValid() {
		return id.message(dhcpv4.MessageTypeDiscover)
	}
	return id.message(dhcpv4.MessageTypeDiscover,
		dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(wanted.AsSlice())))
}

// selecting builds the REQUEST that accepts an offer that isOffer has passed (RFC 2131, section 4.3.2).
func (id identity) selecting(offer *dhcpv4.DHCPv4, began time.Time) (*dhcpv4.DHCPv4, error) {
	server, _ := serverOf(offer)
	request, err := id.message(dhcpv4.MessageTypeRequest,
		dhcpv4.WithTransactionID(offer.TransactionID),
		dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(offer.YourIPAddr)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(server.AsSlice())))
	if err == nil {
		request.NumSeconds = seconds(time.Since(began))
	}
	return request, err
}

// extending builds the REQUEST of the RENEWING and REBINDING states: the address stands in
// ciaddr, and neither option 50 nor 54 may be there (RFC 2131, section 4.3.2).
func (id identity) extending(address netip.Addr) (*dhcpv4.DHCPv4, error) {
	return id.message(dhcpv4.MessageTypeRequest, dhcpv4.WithClientIP(address.AsSlice()))
}

// decline builds the DECLINE of a lease; it has no other options (RFC 2131, table 5).
func (id identity) decline(lease *Lease) (*dhcpv4.DHCPv4, error) {
	return dhcpv4.New(
		dhcpv4.WithHwAddr(id.mac),
		dhcpv4.WithMessageType(dhcpv4.MessageTypeDecline),
		dhcpv4.WithOption(id.clientIdentifier()),
		dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(lease.Address.Addr().AsSlice())),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(lease.Server.AsSlice())))
}

// seconds clips a duration to what the field secs can hold.
func seconds(d time.Duration) uint16 {
	return uint16(min(d/time.Second, 0xffff))
}

// broadcast sends a message to all servers, with or without an address of its own, and waits for the
// first answer that match accepts. errNoAnswer is returned after wait.
//
// Each exchange has its own socket: one that is open while nothing is asked costs wake-ups.
func (id identity) broadcast(
	ctx context.Context, message *dhcpv4.DHCPv4, wait time.Duration, match nclient4.Matcher,
) (*dhcpv4.DHCPv4, error) {
	conn, err := id.listen()
	if err != nil {
		return nil, err
	}
	return id.exchange(ctx, conn, nclient4.DefaultServers, message, wait, match)
}

// tell broadcasts a message that has no answer.
func (id identity) tell(message *dhcpv4.DHCPv4) error {
	conn, err := id.listen()
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.WriteTo(message.ToBytes(), nclient4.DefaultServers)
	return err
}

// listen opens a connection that hears answers from the port alone: on a bridge any guest can say what it
// likes, and only what came in by the NIC can be a server's. It hears unicast and broadcast, whatever
// addresses the interface has. What it sends is broadcast by the port.
func (id identity) listen() (net.PacketConn, error) {
	tap, err := openTap(id.port, unix.ETH_P_ALL, udpToClientFilter)
	if err != nil {
		return nil, err
	}
	return unfoldingConn{nclient4.NewBroadcastUDPConn(ipConn{tap, id.mac}, &net.UDPAddr{Port: dhcpClientPort})}, nil
}

// unicast sends a message from the lease's address to the server that granted it. A router may
// stand between the two; the kernel finds the way. The answer may come to the address or, a NAK, to all (RFC
// 2131, section 4.1).
func (id identity) unicast(
	ctx context.Context, lease *Lease, message *dhcpv4.DHCPv4, wait time.Duration, match nclient4.Matcher,
) (*dhcpv4.DHCPv4, error) {
	local := netip.AddrPortFrom(lease.Address.Addr(), dhcpClientPort)
	sender, err := (&net.ListenConfig{Control: bindToDevice(id.ifname)}).ListenPacket(ctx, "udp4", local.String())
	if err != nil {
		return nil, fmt.Errorf("open UDP socket on %s: %w", id.ifname, err)
	}
	listener, err := id.listen()
	if err != nil {
		sender.Close()
		return nil, err
	}
	server := net.UDPAddrFromAddrPort(netip.AddrPortFrom(lease.Server, nclient4.ServerPort))
	return id.exchange(ctx, unicastConn{listener, sender}, server, message, wait, match)
}

// exchange sends the message once, waits for an answer, and closes conn.
func (id identity) exchange(
	ctx context.Context, conn net.PacketConn, to *net.UDPAddr, message *dhcpv4.DHCPv4,
	wait time.Duration, match nclient4.Matcher,
) (*dhcpv4.DHCPv4, error) {
	client, err := nclient4.NewWithConn(conn, id.mac, nclient4.WithTimeout(wait), nclient4.WithRetry(1))
	if err != nil {
		conn.Close()
		return nil, err
	}
	defer client.Close()
	answer, err := client.SendAndRead(ctx, to, message, match)
	if errors.Is(err, nclient4.ErrNoResponse) {
		return nil, errNoAnswer
	}
	return answer, err
}

// isOffer accepts an OFFER that a host can be configured by.
func isOffer(message *dhcpv4.DHCPv4) bool {
	if message.MessageType() != dhcpv4.MessageTypeOffer {
		return false
	}
	_, err := ParseLease(message, time.Time{}, 0)
	return err == nil
}

// isVerdict accepts an ACK or NAK.
func isVerdict(message *dhcpv4.DHCPv4) bool {
	kind := message.MessageType()
	return kind == dhcpv4.MessageTypeAck || kind == dhcpv4.MessageTypeNak
}

// isVerdictOf accepts a server's ACK or NAK, or one that names no server: the request asked only this one.
func isVerdictOf(server netip.Addr) nclient4.Matcher {
	return func(message *dhcpv4.DHCPv4) bool {
		from, named := addrFrom(message.ServerIdentifier())
		return isVerdict(message) && (!named || from == server)
	}
}
