package privnet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/guarded"
	"github.com/zerodisc/zerodisc/internal/netcfg"
	"github.com/zerodisc/zerodisc/internal/sysctl"
	"github.com/zerodisc/zerodisc/internal/vifrules"
)

// DefaultDomain is where guests' names are, if nothing else is configured. ICANN has set the top level aside for
// private networks.
const DefaultDomain = "guests.internal"

// Options say what a private network is like.
type Options struct {
	Bridge      string
	Prefix      netip.Prefix // dom0's address on it, with the length of the subnet; IPv4
	Domain      string       // of the guests' names; empty: DefaultDomain
	First, Last netip.Addr   // of the addresses to give away; not valid: all of the subnet
	Reserved    []netip.Addr // what guests have configured: nobody else gets it
	NoNAT       bool         // guests reach nothing beyond the bridge and dom0
	NoDNS       bool         // dom0 answers no questions for names
	Rules       vifrules.Rules
	ResolvConf  string      // path of dom0's own resolv.conf
	Report      func(Event) // called by any goroutine; must not block
}

// EventKind says what happened.
type EventKind int

// The kinds of events.
const (
	EventStarted EventKind = iota // the network works: Prefix
	EventStopped                  // it ended, and its address is gone
	EventLeased                   // a guest was given its address, or keeps it: Guest, MAC, Address
)

// Event is something about a private network that a person would want to know.
type Event struct {
	Kind    EventKind
	Bridge  string
	Prefix  netip.Prefix
	Guest   string
	MAC     string
	Address netip.Addr
}

// Run makes the bridge, if it is not there, and keeps the private network on it until ctx ends. Then dom0's address
// is taken away, the bridge stays. When something fails it returns before, and leaves what is there to the next Run.
func Run(ctx context.Context, options Options) error {
	if err := options.check(); err != nil {
		return err
	}
	n := newNetwork(options, longLease, true)
	err := n.serve(ctx)
	if ctx.Err() == nil {
		return err
	}
	return cmp.Or(n.takeDown(), ctx.Err())
}

func (o Options) check() error {
	if !o.Prefix.Addr().Is4() || o.Prefix.Bits() < 8 || o.Prefix.Bits() > 30 {
		return fmt.Errorf("private network %s: %s is no IPv4 address with a length of 8 to 30", o.Bridge, o.Prefix)
	}
	return nil
}

// network is a private network, for good or for a time.
type network struct {
	options Options
	time    leaseTime
	lasting bool
	guests  *directory
	retired atomic.Bool
}

func newNetwork(options Options, time leaseTime, lasting bool) *network {
	options.Domain = strings.ToLower(strings.Trim(cmp.Or(options.Domain, DefaultDomain), "."))
	return &network{
		options: options, time: time, lasting: lasting,
		guests: &directory{rules: options.Rules, bridge: options.Bridge},
	}
}

func (n *network) event(e Event) {
	e.Bridge, e.Prefix = n.options.Bridge, n.options.Prefix
	if n.options.Report != nil {
		n.options.Report(e)
	}
}

// serve sets the network up and answers DHCP and DNS until ctx ends or something fails.
func (n *network) serve(ctx context.Context) error {
	if err := n.setUp(); err != nil {
		return err
	}
	dhcp, err := listenDHCP(n.options.Bridge)
	if err != nil {
		return fmt.Errorf("DHCP on %s: %w", n.options.Bridge, err)
	}
	defer dhcp.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, running := errgroup.WithContext(ctx)
	defer context.AfterFunc(running, func() { dhcp.Close() })()
	if !n.options.NoDNS {
		if err := n.serveDNS(running, group); err != nil {
			return fmt.Errorf("DNS on %s: %w", n.options.Bridge, err)
		}
	}
	d := n.dhcpServer()
	group.Go(guarded.Func(running, func() error { return d.run(running, dhcp) }))
	n.event(Event{Kind: EventStarted})
	return group.Wait()
}

// serveDNS has the group answer questions for names until ctx ends.
func (n *network) serveDNS(ctx context.Context, group *errgroup.Group) error {
	config := net.ListenConfig{}
	at := netip.AddrPortFrom(n.options.Prefix.Addr(), 53).String()
	packets, err := config.ListenPacket(ctx, "udp4", at)
	if err != nil {
		return err
	}
	listener, err := config.Listen(ctx, "tcp4", at)
	if err != nil {
		return errors.Join(err, packets.Close())
	}
	context.AfterFunc(ctx, func() { packets.Close(); listener.Close() })
	s := n.dnsServer()
	group.Go(guarded.Func(ctx, func() error { return s.serveUDP(ctx, packets.(*net.UDPConn)) }))
	group.Go(guarded.Func(ctx, func() error { return s.serveTCP(ctx, listener) }))
	return nil
}

func (n *network) dhcpServer() *dhcpServer {
	return &dhcpServer{
		prefix: n.options.Prefix, domain: n.options.Domain, time: n.time, find: n.guests.byMAC,
		isRouter: !n.options.NoNAT, isResolver: !n.options.NoDNS,
		retired: &n.retired, exclusive: n.lasting,
		leased: func(v vifrules.Vif) {
			n.event(Event{Kind: EventLeased, Guest: v.Guest, MAC: v.MAC, Address: v.Lease})
		},
	}
}

func (n *network) dnsServer() *dnsServer {
	return &dnsServer{
		prefix: n.options.Prefix, resolvConf: n.options.ResolvConf, slots: newSlots(),
		zone: func() zone { return zone{n.options.Domain, n.options.Prefix, n.guests.hosts()} },
	}
}

// setUp has the rules in force before dom0 has an address there, or passes anything on.
func (n *network) setUp() error {
	bridge := n.options.Bridge
	if n.lasting {
		if err := (netcfg.Bridge{Name: bridge}).Ensure(); err != nil {
			return err
		}
	}
	private := n.options.Rule()
	private.Temporary = !n.lasting
	if err := n.options.Rules.Configure(func(c *vifrules.Config) {
		c.Host.Private = append(without(c.Host.Private, bridge), private)
	}); err != nil {
		return err
	}
	link, err := netlink.LinkByName(bridge)
	if err != nil {
		return fmt.Errorf("look up bridge %s: %w", bridge, err)
	}
	if err := netlink.AddrReplace(link, n.address()); err != nil {
		return fmt.Errorf("give %s the address %s: %w", bridge, n.options.Prefix, err)
	}
	if n.options.NoNAT {
		return nil
	}
	return forwarding("1")
}

// Rule is what the packet filter has to know of the network. With it in force before [Run] guests get their addresses
// whenever they come.
func (o Options) Rule() vifrules.Private {
	return vifrules.Private{
		Bridge: o.Bridge, Prefix: o.Prefix, First: o.First, Last: o.Last, Reserved: o.Reserved,
		NoNAT: o.NoNAT, NoDNS: o.NoDNS,
	}
}

func (n *network) address() *netlink.Addr {
	p := n.options.Prefix
	return &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}}
}

// takeDown undoes setUp, but for the bridge, which has guests, and says so.
func (n *network) takeDown() error {
	var errs []error
	link, err := netlink.LinkByName(n.options.Bridge)
	if err == nil {
		if err := netlink.AddrDel(link, n.address()); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			errs = append(errs, fmt.Errorf("take %s from %s: %w", n.options.Prefix, n.options.Bridge, err))
		}
	}
	last := false
	errs = append(errs, n.options.Rules.Configure(func(c *vifrules.Config) {
		c.Host.Private = without(c.Host.Private, n.options.Bridge)
		last = !slices.ContainsFunc(c.Host.Private, func(p vifrules.Private) bool { return !p.NoNAT })
	}))
	if last {
		errs = append(errs, forwarding("0"))
	}
	n.event(Event{Kind: EventStopped})
	return errors.Join(errs...)
}

func without(list []vifrules.Private, bridge string) []vifrules.Private {
	return slices.DeleteFunc(slices.Clone(list), func(p vifrules.Private) bool { return p.Bridge == bridge })
}

// forwarding has dom0 pass IPv4 on, or not. The rules pass on only what comes from private networks. A kernel that
// stops to be a router believes redirects again (net/ipv4/devinet.c, inet_forward_change).
func forwarding(value string) error {
	makeRoom()
	return errors.Join(sysctl.Set("net.ipv4.ip_forward", value), sysctl.Set("net.ipv4.conf.all.accept_redirects", "0"))
}

// Connections that the kernel remembers for all guests and dom0. By itself it makes room for 2048 with 256 MB of
// memory, which two guests could fill, and dom0 was cut off. One takes 320 bytes while it lasts, so that a full table
// takes a twelfth of dom0's memory; that is 20 MB, for 64 guests that have as many as each may, where dom0 is smallest.
const (
	memoryEach      = 4 << 10 // bytes of dom0's memory for each connection
	fewConnections  = 64 * vifrules.MaxConnections
	manyConnections = 256 * vifrules.MaxConnections
)

// connections is how many the kernel is to remember where dom0 has so much memory, bytes.
func connections(memory uint64) uint64 {
	return min(max(memory/memoryEach, fewConnections), manyConnections)
}

// makeRoom has the kernel remember as many. It is no row of package sysctl's table, since it is there only once the
// packet filter follows connections. In a network namespace, where it is not to be set, what there is has to do.
func makeRoom() {
	var now unix.Sysinfo_t
	_ = unix.Sysinfo(&now) // fails for bad addresses only
	memory := uint64(now.Totalram) * uint64(now.Unit)
	_ = sysctl.Set("net.netfilter.nf_conntrack_max", strconv.FormatUint(connections(memory), 10))
}
