package netserve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/dhcpwire"
)

// boundTo returns what binds a socket to an interface before it gets its address.
func boundTo(nic string) func(network, address string, raw syscall.RawConn) error {
	return func(_, _ string, raw syscall.RawConn) error {
		var inner error
		if err := raw.Control(func(fd uintptr) { inner = unix.BindToDevice(int(fd), nic) }); err != nil {
			return err
		}
		if inner != nil {
			return fmt.Errorf("bind to interface: %w", inner)
		}
		return nil
	}
}

// listenUDP opens a UDP socket that receives from one interface only. Unlike server4's it shares
// its port with nobody: two DHCP servers that both get a broadcast, unaware of each other, confuse
// clients.
func listenUDP(ctx context.Context, nic string, at netip.AddrPort) (*net.UDPConn, error) {
	config := net.ListenConfig{Control: boundTo(nic)}
	conn, err := config.ListenPacket(ctx, "udp4", at.String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

// listenTCP opens a TCP socket that accepts from one interface only.
func listenTCP(ctx context.Context, nic string, at netip.AddrPort) (net.Listener, error) {
	config := net.ListenConfig{Control: boundTo(nic)}
	return config.Listen(ctx, "tcp4", at.String())
}

// dialUDP opens a UDP socket with a port of its own that talks to one client only.
func dialUDP(ctx context.Context, nic string, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	local := net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	dialer := net.Dialer{LocalAddr: local, Control: boundTo(nic)}
	return dialer.DialContext(ctx, "udp4", to.String())
}

// sendFrom sends from one of the machine's addresses, whatever the socket's own is.
func sendFrom(conn *net.UDPConn, from netip.Addr, to netip.AddrPort, data []byte) error {
	source := &unix.Inet4Pktinfo{Spec_dst: from.As4()}
	_, _, err := conn.WriteMsgUDPAddrPort(data, unix.PktInfo4(source), to)
	return err
}

// firstAsk is how long the search for a DHCP server waits before it asks a second time; it then waits twice as long.
// One packet may be lost.
const firstAsk = time.Second

// findDHCPServer asks for an address, which it then does not take, and returns the server that offered one; "" if
// none did before ctx ended. An error says why it could not ask, or not hear: then nobody knows.
func findDHCPServer(ctx context.Context, nic string) (string, error) {
	deaf := &readFault{}
	client, err := nclient4.New(nic, nclient4.WithTimeout(firstAsk), nclient4.WithLogger(deaf))
	if err != nil {
		return "", err
	}
	offer, err := client.DiscoverOffer(ctx)
	client.Close() // it does not read, or log, any more
	switch {
	case err == nil:
		return server(offer), nil
	case deaf.text != "":
		return "", errors.New(deaf.text)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled),
		errors.Is(err, nclient4.ErrNoResponse):
		return "", nil
	}
	return "", err
}

// server names the server of an offer. Some leave out their identifier, which RFC 2131, table 3, demands.
func server(offer *dhcpv4.DHCPv4) string {
	for _, address := range []net.IP{offer.ServerIdentifier(), offer.ServerIPAddr} {
		if !dhcpwire.Unspecified(address) {
			return address.String()
		}
	}
	return "that offers " + offer.YourIPAddr.String()
}

// readFault keeps what a DHCP client logs: that it cannot read any more, which it otherwise takes for silence.
type readFault struct{ text string }

func (f *readFault) Printf(format string, v ...any) { f.text = fmt.Sprintf(format, v...) }

func (f *readFault) PrintMessage(string, *dhcpv4.DHCPv4) {}

// isHardware says whether an interface is a device, not one that software made, such as a bridge.
func isHardware(nic string) bool {
	_, err := os.Stat(filepath.Join("/sys/class/net", nic, "device"))
	return err == nil
}
