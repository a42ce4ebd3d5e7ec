package netserve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// Options say what is served and where.
type Options struct {
	Dir       string    // netboot tree
	Interface string    // "": the only one that fits
	HTTPPort  int       // 0: 80, or where that is taken the next free one from 8080 on
	Range     string    // addresses to lease, "192.168.7.100-192.168.7.200"; "": proxy DHCP only
	Out       io.Writer // takes one line an event
}

// Serve serves until ctx ends, and returns nil then. Other errors say what to do about them.
func Serve(ctx context.Context, options Options) error {
	tree, err := openTree(options.Dir)
	if err != nil {
		return err
	}
	defer tree.Close()
	nic, err := findInterface(options.Interface)
	if err != nil {
		return err
	}
	pool, err := parseRange(options.Range, nic.Address)
	if err != nil {
		return err
	}
	if err := aloneOn(ctx, nic, pool); err != nil {
		return err
	}
	sockets, err := listen(ctx, nic, options.HTTPPort)
	if err != nil {
		return err
	}
	here := site{address: nic.Address, httpPort: sockets.httpPort(), leases: options.Range != ""}
	events := newReporter(options.Out)
	events.print(banner(nic.Name, here, pool))
	return sockets.serve(ctx,
		newDHCPServer(here, pool, events),
		newTFTPServer(tree, nic, events),
		newHTTPServer(tree, events))
}

// site is what replies say of this server.
type site struct {
	address  netip.Prefix // of the interface
	httpPort int
	leases   bool // it gives addresses too
}

// url returns the URL of a file of the tree.
func (s site) url(file string) string {
	host := s.address.Addr().String()
	if s.httpPort != 80 {
		host = net.JoinHostPort(host, strconv.Itoa(s.httpPort))
	}
	return "http://" + host + "/" + file
}

// banner is what the terminal shows first.
func banner(nic string, here site, pool *pool) string {
	addresses := "from the DHCP server that is there already; if there is none, give a -range"
	if pool != nil {
		addresses = pool.String() + ", leased from here"
	}
	return fmt.Sprintf(`Serving on %s, address %s
  by TFTP and HTTP     %s
  clients' addresses   %s
On the PC: connect it to the same network, switch it on, open the boot menu (F12, F11, F9, F8 or Esc)
and choose network boot (PXE, LAN, IPv4 or HTTP). Secure Boot must be off. Ctrl-C ends this.
`, nic, here.address, here.url(""), addresses)
}

// sockets are all that this server listens on.
type sockets struct {
	dhcp, proxy, tftp *net.UDPConn
	http              net.Listener
}

// listen opens the sockets, each bound to the interface.
func listen(ctx context.Context, nic iface, httpPort int) (*sockets, error) {
	s := &sockets{}
	address := nic.Address.Addr()
	for _, socket := range []struct {
		conn **net.UDPConn
		at   netip.AddrPort
	}{
		{&s.dhcp, netip.AddrPortFrom(netip.IPv4Unspecified(), portDHCP)}, // broadcasts come to no other
		{&s.proxy, netip.AddrPortFrom(address, portProxy)},
		{&s.tftp, netip.AddrPortFrom(address, portTFTP)},
	} {
		conn, err := listenUDP(ctx, nic.Name, socket.at)
		if err != nil {
			s.close()
			return nil, explain(err, "UDP", int(socket.at.Port()), nic.Name)
		}
		*socket.conn = conn
	}
	var err error
	if s.http, err = listenHTTP(ctx, nic, httpPort); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// httpPorts are tried in this order unless one is asked for.
var httpPorts = []int{80, 8080, 8081, 8082, 8083, 8084, 8085, 8086, 8087, 8088, 8089}

func listenHTTP(ctx context.Context, nic iface, asked int) (net.Listener, error) {
	ports := httpPorts
	if asked != 0 {
		ports = []int{asked}
	}
	var first error
	for _, port := range ports {
		at := netip.AddrPortFrom(nic.Address.Addr(), uint16(port))
		listener, err := listenTCP(ctx, nic.Name, at)
		if err == nil {
			return listener, nil
		}
		if first == nil {
			first = explain(err, "TCP", port, nic.Name)
		}
	}
	return nil, first
}

func (s *sockets) httpPort() int { return s.http.Addr().(*net.TCPAddr).Port }

func (s *sockets) close() {
	for _, conn := range []*net.UDPConn{s.dhcp, s.proxy, s.tftp} {
		if conn != nil {
			conn.Close()
		}
	}
	if s.http != nil {
		s.http.Close()
	}
}

// serve runs the servers on the sockets until ctx ends or one of them fails.
func (s *sockets) serve(ctx context.Context, dhcp *dhcpServer, tftp *tftpServer, http *httpServer) error {
	group, running := errgroup.WithContext(ctx)
	stop := context.AfterFunc(running, s.close)
	defer stop()
	group.Go(func() error { return dhcp.run(running, s.dhcp, s.proxy) })
	group.Go(func() error { return tftp.run(running, s.tftp) })
	group.Go(func() error { return http.run(running, s.http) })
	err := group.Wait()
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// searchTime is how long another DHCP server has to show itself. dnsmasq pings an address for 3 s before it offers it.
const searchTime = 5 * time.Second

// aloneOn refuses to lease addresses where another DHCP server does: clients would get addresses
// that belong to others. It refuses too where it cannot find that out.
func aloneOn(ctx context.Context, nic iface, pool *pool) error {
	if pool == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	other, err := findDHCPServer(ctx, nic.Name)
	if err != nil {
		return explainAt(err, "look for another DHCP server on "+nic.Name, 0)
	}
	if other != "" {
		return fmt.Errorf("interface %s: the DHCP server %s gives addresses there already: serve without a range",
			nic.Name, other)
	}
	return nil
}
