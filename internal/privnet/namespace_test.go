package privnet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/zerodisc/zerodisc/internal/netcfg"
	"github.com/zerodisc/zerodisc/internal/testns"
	"github.com/zerodisc/zerodisc/internal/vifrules"
)

const deadline = 30 * time.Second

// dom0 is the test's own namespace.
type dom0 struct {
	t      *testing.T
	rules  vifrules.Rules
	events chan Event
}

// inNamespace runs body with a network of its own.
func inNamespace(t *testing.T, body func(*dom0)) {
	t.Helper()
	t.Parallel()
	testns.Run(t, syscall.CLONE_NEWNET, func(t *testing.T) {
		check(t, netlink.LinkSetUp(must(netlink.LinkByName("lo"))(t)))
		body(&dom0{t, vifrules.Rules{Dir: t.TempDir()}, make(chan Event, 1000)})
	})
}

func (d *dom0) options(bridge, prefix string) Options {
	o := Options{
		Bridge: bridge, Rules: d.rules, ResolvConf: filepath.Join(d.rules.Dir, "resolv.conf"),
		Report: func(e Event) {
			d.t.Logf("%+v", e)
			select {
			case d.events <- e:
			default: // a test that renews a lease again and again does not read
			}
		},
	}
	if prefix != "" {
		o.Prefix = netip.MustParsePrefix(prefix)
	}
	return o
}

// await waits for an event.
func (d *dom0) await(kind EventKind) Event {
	d.t.Helper()
	for {
		select {
		case e := <-d.events:
			if e.Kind == kind {
				return e
			}
		case <-time.After(deadline):
			d.t.Fatalf("no event %d", kind)
		}
	}
}

// machine is another namespace, with eth0 at the far end of a cable.
type machine struct {
	t      *testing.T
	space  netns.NsHandle
	handle *netlink.Handle
	eth0   netlink.Link
}

// cable makes a machine, and the near end of its cable.
func (d *dom0) cable(name string) *machine {
	d.t.Helper()
	m := &machine{t: d.t}
	m.inside(func() { m.space = must(netns.Get())(d.t) })
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	check(d.t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "far-" + name}))
	check(d.t, netlink.LinkSetNsFd(must(netlink.LinkByName("far-"+name))(d.t), int(m.space)))
	m.handle = must(netlink.NewHandleAt(m.space))(d.t)
	check(d.t, m.handle.LinkSetName(must(m.handle.LinkByName("far-"+name))(d.t), "eth0"))
	m.eth0 = must(m.handle.LinkByName("eth0"))(d.t)
	check(d.t, m.handle.LinkSetUp(m.eth0))
	return m
}

// guest makes a guest with a vif on a bridge.
func (d *dom0) guest(name, vif, bridge string) *machine {
	d.t.Helper()
	m := d.cable(vif)
	check(d.t, d.rules.Plug(vifrules.Vif{
		Name: vif, Bridge: bridge, MAC: m.eth0.Attrs().HardwareAddr.String(), UUID: "uuid-" + name, Guest: name,
	}))
	check(d.t, netcfg.AttachPort(bridge, vif, nil))
	return m
}

// lan makes the network outside: a host 192.0.2.1 at the far end of dom0's NIC.
func (d *dom0) lan(nic string) *machine {
	d.t.Helper()
	m := d.cable(nic)
	check(d.t, m.handle.AddrAdd(m.eth0, must(netlink.ParseAddr("192.0.2.1/24"))(d.t)))
	check(d.t, netlink.LinkSetUp(must(netlink.LinkByName(nic))(d.t)))
	return m
}

// inside runs do in the machine's namespace, which the first call creates.
func (m *machine) inside(do func()) {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		var err error
		if m.space == 0 {
			_, err = netns.New()
		} else {
			err = netns.Set(m.space)
		}
		if err == nil {
			do()
		}
		done <- err
	}()
	check(m.t, <-done)
}

func (m *machine) client() *nclient4.Client {
	m.t.Helper()
	var client *nclient4.Client
	m.inside(func() {
		client = must(nclient4.New("eth0", nclient4.WithTimeout(time.Second), nclient4.WithRetry(10)))(m.t)
	})
	m.t.Cleanup(func() { client.Close() })
	return client
}

// lease gets an address and takes it into use.
func (m *machine) lease() *nclient4.Lease {
	m.t.Helper()
	client := m.client()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	lease := must(client.Request(ctx))(m.t)
	client.Close()
	address := &net.IPNet{IP: lease.ACK.YourIPAddr, Mask: lease.ACK.SubnetMask()}
	check(m.t, m.handle.AddrAdd(m.eth0, &netlink.Addr{IPNet: address}))
	for _, router := range lease.ACK.Router() {
		check(m.t, m.handle.RouteAdd(&netlink.Route{LinkIndex: m.eth0.Attrs().Index, Gw: router}))
	}
	return lease
}

// dial opens a connection of the machine's.
func (m *machine) dial(network, to string) (net.Conn, error) {
	m.t.Helper()
	var conn net.Conn
	var err error
	m.inside(func() { conn, err = net.DialTimeout(network, to, deadline) })
	if err == nil {
		m.t.Cleanup(func() { conn.Close() })
		check(m.t, conn.SetDeadline(time.Now().Add(deadline)))
	}
	return conn, err
}

// ask asks a DNS server.
func (m *machine) ask(network, server, name string) string {
	m.t.Helper()
	conn := must(m.dial(network, server+":53"))(m.t)
	message := query(name, dnsmessage.TypeA)
	if network == "tcp" {
		check(m.t, writeTCP(conn, message))
		return describe(m.t, must(readTCP(conn, 1<<16))(m.t))
	}
	must(conn.Write(message))(m.t)
	buffer := make([]byte, 1500)
	n := must(conn.Read(buffer))(m.t)
	return describe(m.t, buffer[:n])
}

// serveDNS answers every question with one address.
func (m *machine) serveDNS(address string) {
	m.t.Helper()
	at := "192.0.2.1:53"
	everything := func(message []byte) []byte {
		var parsed dnsmessage.Message
		check(m.t, parsed.Unpack(message))
		zone := zone{"com", netip.MustParsePrefix("10.0.0.0/8"),
			map[string]netip.Addr{"example": netip.MustParseAddr(address)}}
		reply, _ := zone.resolve(message)
		return reply
	}
	var packets net.PacketConn
	var listener net.Listener
	m.inside(func() {
		packets = must(net.ListenPacket("udp4", at))(m.t)
		listener = must(net.Listen("tcp4", at))(m.t)
	})
	m.t.Cleanup(func() { packets.Close(); listener.Close() })
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := packets.ReadFrom(buffer)
			if err != nil {
				return
			}
			_, _ = packets.WriteTo([]byte("not an answer"), from)
			_, _ = packets.WriteTo(everything(buffer[:n]), from)
		}
	}()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if message, err := readTCP(conn, 1500); err == nil {
				_ = writeTCP(conn, everything(message))
			}
			conn.Close()
		}
	}()
}

// start runs a private network until the test ends or stop is called.
func (d *dom0) start(options Options) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, options) }()
	d.await(EventStarted)
	return func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			d.t.Error(err)
		}
	}
}

// Two guests, from nothing to a page outside.
func TestPrivateNetwork(t *testing.T) {
	inNamespace(t, func(d *dom0) {
		outside := d.lan("nic0")
		nic := must(netlink.LinkByName("nic0"))(t)
		check(t, netlink.AddrAdd(nic, must(netlink.ParseAddr("192.0.2.2/24"))(t)))
		check(t, netlink.RouteAdd(&netlink.Route{LinkIndex: nic.Attrs().Index, Gw: net.ParseIP("192.0.2.1")}))
		options := d.options("priv0", "10.77.5.1/24")
		check(t, os.WriteFile(options.ResolvConf, []byte("nameserver 10.77.5.1\nnameserver 192.0.2.1\n"), 0o644))
		outside.serveDNS("10.1.2.3")
		stop := d.start(options)

		web, db := d.guest("Web", "vif1.0", "priv0"), d.guest("db", "vif2.0", "priv0")
		lease := web.lease()
		event := d.await(EventLeased)
		address := lease.ACK.YourIPAddr.String()
		if event.Guest != "Web" || event.Address.String() != address {
			t.Errorf("event %+v", event)
		}
		if other := db.lease().ACK.YourIPAddr.String(); other == address {
			t.Errorf("both have %s", other)
		}
		for _, network := range []string{"udp", "tcp"} {
			if got := db.ask(network, "10.77.5.1", "web.guests.internal."); got != "RCodeSuccess "+address {
				t.Errorf("%s: web is %s", network, got)
			}
			if got := db.ask(network, "10.77.5.1", "example.com."); got != "RCodeSuccess 10.1.2.3" {
				t.Errorf("%s: example.com is %s", network, got)
			}
		}
		checkTranslation(t, outside, web)
		checkOutsideIsOutside(t, outside, address)

		// The address is the guest's: another one is refused, by DHCP and by the rules.
		client := web.client()
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		defer cancel()
		lease.ACK.YourIPAddr = net.ParseIP("10.77.5.99")
		if _, err := client.Renew(ctx, lease); !errors.As(err, new(*nclient4.ErrNak)) {
			t.Errorf("another address: %v, want a NAK", err)
		}

		stop()
		if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward"); err != nil || string(text) != "0\n" {
			t.Errorf("dom0 still passes on: %q, %v", text, err)
		}
		redirects := "/proc/sys/net/ipv4/conf/all/accept_redirects"
		if text, err := os.ReadFile(redirects); err != nil || string(text) != "0\n" {
			t.Errorf("dom0 believes redirects: %q, %v", text, err)
		}
		left := must(netlink.AddrList(must(netlink.LinkByName("priv0"))(t), netlink.FAMILY_V4))(t)
		if len(left) > 0 {
			t.Errorf("dom0 still has %v", left)
		}
	})
}

// A network of guests among themselves: dom0 gives addresses of a range away, and no more.
func TestClosedNetwork(t *testing.T) {
	inNamespace(t, func(d *dom0) {
		outside := d.lan("nic0")
		nic := must(netlink.LinkByName("nic0"))(t)
		check(t, netlink.AddrAdd(nic, must(netlink.ParseAddr("192.0.2.2/24"))(t)))
		options := d.options("priv0", "10.77.5.1/24")
		options.NoNAT, options.NoDNS = true, true
		options.First, options.Last = netip.MustParseAddr("10.77.5.100"), netip.MustParseAddr("10.77.5.101")
		options.Reserved = []netip.Addr{options.First}
		stop := d.start(options)
		defer stop()
		web := d.guest("web", "vif1.0", "priv0")
		ack := web.lease().ACK
		if ack.YourIPAddr.String() != "10.77.5.101" || len(ack.Router()) > 0 || len(ack.DNS()) > 0 {
			t.Errorf("lease %s", ack.Summary())
		}
		route := &netlink.Route{LinkIndex: web.eth0.Attrs().Index, Gw: net.ParseIP("10.77.5.1")}
		check(t, web.handle.RouteAdd(route))
		var listener net.Listener
		outside.inside(func() { listener = must(net.Listen("tcp4", "192.0.2.1:80"))(t) })
		defer listener.Close()
		for _, to := range []string{"192.0.2.1:80", "10.77.5.1:53"} {
			var err error
			web.inside(func() { _, err = net.DialTimeout("tcp", to, 300*time.Millisecond) })
			if err == nil {
				t.Errorf("%s is reached", to)
			}
		}
		if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward"); err != nil || string(text) != "0\n" {
			t.Errorf("dom0 passes on: %q, %v", text, err)
		}
	})
}

// checkTranslation has a guest connect to a server outside, which sees dom0's address.
func checkTranslation(t *testing.T, outside, guest *machine) {
	t.Helper()
	var listener net.Listener
	outside.inside(func() { listener = must(net.Listen("tcp4", "192.0.2.1:80"))(t) })
	defer listener.Close()
	conn := must(guest.dial("tcp", "192.0.2.1:80"))(t)
	far := must(listener.Accept())(t)
	if seen := far.RemoteAddr().(*net.TCPAddr).IP.String(); seen != "192.0.2.2" {
		t.Errorf("the server sees %s, want dom0's address", seen)
	}
	must(far.Write([]byte("hello")))(t)
	far.Close()
	if text := must(io.ReadAll(conn))(t); string(text) != "hello" {
		t.Errorf("the guest reads %q", text)
	}
}

// checkOutsideIsOutside has the LAN try to reach a guest by a route through dom0, and dom0's DNS server.
func checkOutsideIsOutside(t *testing.T, outside *machine, guest string) {
	t.Helper()
	_, subnet, _ := net.ParseCIDR("10.77.5.0/24")
	check(t, outside.handle.RouteAdd(&netlink.Route{
		LinkIndex: outside.eth0.Attrs().Index, Dst: subnet, Gw: net.ParseIP("192.0.2.2"),
	}))
	for _, to := range []string{guest + ":22", "10.77.5.1:53"} {
		var err error
		outside.inside(func() { _, err = net.DialTimeout("tcp", to, 300*time.Millisecond) })
		if err == nil {
			t.Errorf("%s is reached from outside", to)
		}
	}
}

// A guest that dom0 is closed to still gets what a private network is for.
func TestGuestWithoutHost(t *testing.T) {
	inNamespace(t, func(d *dom0) {
		check(t, d.rules.Configure(func(c *vifrules.Config) {
			c.Guests = map[string]vifrules.Guest{"uuid-web": {NoHost: true}, "uuid-db": {}}
			c.Host.OpenGuests = []vifrules.Service{{Protocol: vifrules.TCP, Port: 80}}
		}))
		defer d.start(d.options("priv0", "10.77.5.1/24"))()
		listener := must(net.Listen("tcp4", "10.77.5.1:80"))(t)
		defer listener.Close()
		web, db := d.guest("web", "vif1.0", "priv0"), d.guest("db", "vif2.0", "priv0")
		web.lease()
		address := db.lease().ACK.YourIPAddr.String()
		if got := web.ask("udp", "10.77.5.1", "db."); got != "RCodeSuccess "+address {
			t.Errorf("db is %s", got)
		}
		must(db.dial("tcp", "10.77.5.1:80"))(t)
		var err error
		web.inside(func() { _, err = net.DialTimeout("tcp", "10.77.5.1:80", 300*time.Millisecond) })
		if err == nil {
			t.Error("the guest reaches dom0")
		}
	})
}

// A MAC that no guest was given gets nothing, however often it asks and under how many names.
func TestStrangersGetNothing(t *testing.T) {
	inNamespace(t, func(d *dom0) {
		defer d.start(d.options("priv0", "10.77.5.1/24"))()
		web := d.guest("web", "vif1.0", "priv0")
		check(t, d.rules.Configure(func(c *vifrules.Config) {
			c.Guests = map[string]vifrules.Guest{"uuid-web": {Trust: []vifrules.Reason{vifrules.SpoofedMAC}}}
		}))
		client := web.client()
		for i := range 300 {
			mac := net.HardwareAddr{2, 0, 0, 0, byte(i >> 8), byte(i)}
			m := must(dhcpv4.NewDiscovery(mac))(t)
			check(t, sendOnly(client, m))
		}
		if vifs := must(d.rules.Vifs())(t); len(vifs) != 1 {
			t.Errorf("vifs %v", vifs)
		}
		first := web.lease().ACK.YourIPAddr
		for range 3 {
			ctx, cancel := context.WithTimeout(context.Background(), deadline)
			again := must(web.client().Request(ctx, dhcpv4.WithOption(
				dhcpv4.OptClientIdentifier([]byte{1, 2, 3}))))(t)
			cancel()
			if !again.ACK.YourIPAddr.Equal(first) {
				t.Errorf("%s, before %s", again.ACK.YourIPAddr, first)
			}
		}
	})
}

// sendOnly sends a message that nothing is to answer.
func sendOnly(client *nclient4.Client, m *dhcpv4.DHCPv4) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	offer, err := client.SendAndRead(ctx, client.RemoteAddr(), m, nil)
	if err == nil {
		return errors.New("a stranger is offered " + offer.YourIPAddr.String())
	}
	return nil
}

// fallbackOn makes a bridge with a NIC and a guest, and has its guests get a network while dom0 has no address. A
// function says whether it has one.
func (d *dom0) fallbackOn() (outside, guest *machine, addressed func(bool)) {
	check(d.t, netcfg.Bridge{Name: "br0"}.Ensure())
	outside = d.lan("nic0")
	check(d.t, netcfg.AttachPort("br0", "nic0", nil))
	check(d.t, d.rules.Configure(func(*vifrules.Config) {}))
	guest = d.guest("web", "vif1.0", "br0")
	d.fallback()
	br0, address := must(netlink.LinkByName("br0"))(d.t), must(netlink.ParseAddr("192.0.2.2/24"))(d.t)
	return outside, guest, func(has bool) {
		change := map[bool]func(netlink.Link, *netlink.Addr) error{true: netlink.AddrAdd, false: netlink.AddrDel}[has]
		check(d.t, change(br0, address))
	}
}

// fallback runs one until the test ends or stop is called.
func (d *dom0) fallback() (stop func()) {
	f := NewFallback(d.options("br0", ""), 0)
	f.patience = 100 * time.Millisecond
	f.time = leaseTime{8 * time.Second, 2 * time.Second, 4 * time.Second}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			d.t.Error(err)
		}
	})
	d.t.Cleanup(stop)
	return stop
}

// Guests get a network while dom0 has no address, nothing of which is seen on the LAN, and are sent back after that.
func TestFallback(t *testing.T) {
	inNamespace(t, func(d *dom0) {
		outside, guest, addressed := d.fallbackOn()
		d.await(EventStarted)
		lan := outside.serveDHCP(t)
		lease := guest.lease()
		client := guest.client()
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		defer cancel()
		address := lease.ACK.YourIPAddr
		if !netip.MustParsePrefix("10.77.0.0/24").Contains(netip.AddrFrom4([4]byte(address.To4()))) {
			t.Errorf("leased %s", address)
		}
		if lease.ACK.IPAddressLeaseTime(0) != 8*time.Second {
			t.Errorf("leased for %s", lease.ACK.IPAddressLeaseTime(0))
		}
		must(client.Renew(ctx, lease))(t)
		if _, err := outside.client().Request(short(t)); err == nil {
			t.Error("the LAN gets addresses from dom0")
		}

		addressed(true) // the LAN's server gives some to guests too
		lan.Store(true)
		for err := error(nil); !errors.As(err, new(*nclient4.ErrNak)); { // it takes a moment to see the address
			check(t, ctx.Err())
			time.Sleep(50 * time.Millisecond)
			_, err = client.Renew(ctx, lease)
		}
		if lease := must(client.Request(ctx))(t); lease.ACK.YourIPAddr.String() != "192.0.2.50" {
			t.Errorf("leased %s after the end", lease.ACK.YourIPAddr)
		}
		d.await(EventStopped)
		addressed(false) // and once more
		d.await(EventStarted)
	})
}

// A lease that comes while guests are being sent back, and goes again, changes nothing for them.
func TestFallbackGoesOn(t *testing.T) {
	inNamespace(t, func(d *dom0) {
		_, guest, addressed := d.fallbackOn()
		d.await(EventStarted)
		lease := guest.lease()
		client := guest.client()
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		defer cancel()
		untilRenewed := func(want bool) { // it takes a moment until what became of the address is seen
			for {
				check(t, ctx.Err())
				if _, err := client.Renew(ctx, lease); (err == nil) == want {
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
		}
		addressed(true)
		untilRenewed(false)
		addressed(false)
		untilRenewed(true)
	})
}

// On a fallback network a guest may have an address of the LAN's, and none of another guest's.
func TestFallbackIsStrict(t *testing.T) {
	inNamespace(t, func(d *dom0) {
		outside, web, _ := d.fallbackOn()
		db := d.guest("db", "vif2.0", "br0")
		d.await(EventStarted)
		web.lease()
		own := db.lease().ACK.YourIPAddr
		other := &net.IPNet{IP: net.IPv4(10, 77, 0, 200), Mask: net.CIDRMask(24, 32)}
		if own.Equal(other.IP) {
			other.IP = net.IPv4(10, 77, 0, 201)
		}
		ping := func(m *machine, from, to string) error {
			var err error
			m.inside(func() {
				dialer := net.Dialer{Timeout: 2 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
				_, err = dialer.Dial("tcp", to+":9") // nobody listens: an answer is a refusal
			})
			return err
		}
		check(t, web.handle.AddrAdd(web.eth0, must(netlink.ParseAddr("192.0.2.9/24"))(t)))
		if err := ping(web, "192.0.2.9", "192.0.2.1"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("with an address of the LAN's: %v", err)
		}
		check(t, web.handle.AddrAdd(web.eth0, &netlink.Addr{IPNet: other}))
		if err := ping(web, other.IP.String(), own.String()); errors.Is(err, syscall.ECONNREFUSED) {
			t.Error("an address that is not its own reaches another guest")
		}
		_ = outside
	})
}

// What a fallback leaves that ended in an instant is taken away by the next one, which does not take it for dom0's
// address.
func TestFallbackAfterACrash(t *testing.T) {
	inNamespace(t, func(d *dom0) {
		check(t, netcfg.Bridge{Name: "br0"}.Ensure())
		n := newNetwork(d.options("br0", "10.77.9.1/24"), shortLease, false)
		check(t, n.setUp())
		d.fallback()
		d.await(EventStopped)
		if e := d.await(EventStarted); e.Prefix.String() != "10.77.0.1/24" {
			t.Errorf("started with %s", e.Prefix)
		}
		left := must(netlink.AddrList(must(netlink.LinkByName("br0"))(t), netlink.FAMILY_V4))(t)
		if len(left) != 1 {
			t.Errorf("dom0 has %v", left)
		}
	})
}

// dom0's addresses and gateway are protected, and those of its private networks are no reason to end one.
func TestProtect(t *testing.T) {
	inNamespace(t, func(d *dom0) {
		check(t, netcfg.Bridge{Name: "br0"}.Ensure())
		br0 := must(netlink.LinkByName("br0"))(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- Protect(ctx, d.rules) }()
		defer func() {
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}()
		expect := func(want bool) {
			t.Helper()
			if got := must(hasAddress(d.rules, "br0"))(t); got != want {
				t.Errorf("dom0 has an address: %v", got)
			}
		}
		expect(false)
		stop := d.start(d.options("br0", "10.77.5.1/24"))
		expect(false)
		check(t, netlink.AddrAdd(br0, must(netlink.ParseAddr("192.0.2.2/24"))(t)))
		expect(true)
		check(t, netlink.RouteAdd(&netlink.Route{LinkIndex: br0.Attrs().Index, Gw: net.ParseIP("192.0.2.1")}))
		check(t, netlink.AddrAdd(br0, must(netlink.ParseAddr("2001:db8::5054:ff:fe12:3456/64"))(t)))
		check(t, netlink.RouteAdd(&netlink.Route{LinkIndex: br0.Attrs().Index, Gw: net.ParseIP("fe80::1")}))
		d.untilProtected("10.77.5.1", "192.0.2.1", "192.0.2.2", "2001:db8::5054:ff:fe12:3456", "fe80::1")
		check(t, netlink.AddrDel(br0, must(netlink.ParseAddr("2001:db8::5054:ff:fe12:3456/64"))(t)))
		stop()
		check(t, netlink.AddrDel(br0, must(netlink.ParseAddr("192.0.2.2/24"))(t)))
		expect(false)
	})
}

// A guest's interface is no NIC, whatever it is called (vifname=).
func TestNICsOfABridge(t *testing.T) {
	inNamespace(t, func(d *dom0) {
		check(t, netcfg.Bridge{Name: "br0"}.Ensure())
		d.lan("vifnic")
		check(t, netcfg.AttachPort("br0", "vifnic", nil))
		d.guest("web", "web", "br0")
		want := must(netlink.LinkByName("vifnic"))(t).Attrs().Index
		if got := must(nics(d.rules, "br0"))(t); len(got) != 1 || got[0] != want {
			t.Errorf("ports %v, want %d", got, want)
		}
	})
}

// untilProtected waits until these are among the protected addresses.
func (d *dom0) untilProtected(want ...string) {
	d.t.Helper()
	var have []string
	for end := time.Now().Add(deadline); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		have = nil
		check(d.t, d.rules.Configure(func(c *vifrules.Config) {
			for _, address := range c.Host.Protected {
				have = append(have, address.String())
			}
		}))
		if !slices.ContainsFunc(want, func(address string) bool { return !slices.Contains(have, address) }) {
			return
		}
	}
	d.t.Fatalf("protected are %v, want %v", have, want)
}

func short(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must is check for a call with a result: must(call())(t).
func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		check(t, err)
		return value
	}
}
