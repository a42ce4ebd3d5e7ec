package netcfg

import (
	"context"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/zerodisc/zerodisc/internal/testns"
)

// deadline is generous: nothing here takes longer than a few seconds on an idle machine.
const deadline = 30 * time.Second

func soon() time.Time { return time.Now().Add(deadline) }

// inNamespace runs body with a network and a host name of its own.
func inNamespace(t *testing.T, body func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	testns.Run(t, syscall.CLONE_NEWNET|syscall.CLONE_NEWUTS, body)
}

// lan is what a NIC of the test leads to: the other end of a veth pair in another namespace.
type lan struct {
	t      *testing.T
	space  netns.NsHandle
	handle *netlink.Handle
	port   netlink.Link
}

// plugNIC creates an interface whose LAN has a host with the given address.
func plugNIC(t *testing.T, name, address string) *lan {
	t.Helper()
	l := &lan{t: t}
	l.inside(func() { l.space = must(netns.Get())(t) })
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	check(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "lan-" + name}))
	peer := must(netlink.LinkByName("lan-" + name))(t)
	check(t, netlink.LinkSetNsFd(peer, int(l.space)))
	l.handle = must(netlink.NewHandleAt(l.space))(t)
	l.port = must(l.handle.LinkByName("lan-" + name))(t)
	addr := must(netlink.ParseAddr(address))(t)
	check(t, l.handle.AddrAdd(l.port, addr))
	check(t, l.handle.LinkSetUp(l.port))
	return l
}

// inside runs do in the LAN's namespace, which the first call creates. The thread ends with the
// goroutine, so that no other code ever runs in it.
func (l *lan) inside(do func()) {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		var err error
		if l.space == 0 {
			_, err = netns.New()
		} else {
			err = netns.Set(l.space)
		}
		if err == nil {
			do()
		}
		done <- err
	}()
	check(l.t, <-done)
}

// server is a DHCP server with the behaviour that a test wants.
type server struct {
	conn *net.UDPConn
	seen chan seen // every message that came in, answered or not

	mu     sync.Mutex
	policy policy
}

// policy is how the server behaves; guarded by server.mu.
type policy struct {
	address string // handed out
	seconds uint32 // length of the lease; T1 and T2 are left to the client
	silent  bool
	refuse  bool   // NAK to every REQUEST
	terse   bool   // see terseAnswer
	second  string // another server, which also offers addresses
	options []dhcpv4.Option
}

// seen is a message with the address it came from.
type seen struct {
	*dhcpv4.DHCPv4
	from net.IP
}

// serve starts a DHCP server on the LAN.
func (l *lan) serve(p policy) *server {
	s := &server{seen: make(chan seen, 1000), policy: p}
	l.inside(func() {
		var err error
		s.conn, err = server4.NewIPv4UDPConn(l.port.Attrs().Name, &net.UDPAddr{Port: dhcpv4.ServerPort})
		if err != nil {
			l.t.Error(err)
		}
	})
	running := must(server4.NewServer("", nil, s.handle, server4.WithConn(s.conn)))(l.t)
	go running.Serve()
	l.t.Cleanup(func() { running.Close() })
	return s
}

// serveLAN plugs in a NIC whose LAN has a DHCP server.
func serveLAN(t *testing.T, nic string, p policy) *server {
	t.Helper()
	return plugNIC(t, nic, serverAddress+"/24").serve(p)
}

// set changes the behaviour.
func (s *server) set(change func(*policy)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.policy)
}

func (s *server) handle(_ net.PacketConn, peer net.Addr, message *dhcpv4.DHCPv4) {
	s.mu.Lock()
	p := s.policy
	s.mu.Unlock()
	s.seen <- seen{message, peer.(*net.UDPAddr).IP}
	answer := p.answer(message)
	if answer == nil {
		return
	}
	s.send(answer, peer)
	if p.second != "" && answer.MessageType() == dhcpv4.MessageTypeOffer {
		answer.UpdateOption(dhcpv4.OptServerIdentifier(net.ParseIP(p.second)))
		s.send(answer, peer)
	}
}

// send sends an answer to where the message came from; a NAK always to all (RFC 2131, section 4.1).
func (s *server) send(answer *dhcpv4.DHCPv4, peer net.Addr) {
	if answer.MessageType() == dhcpv4.MessageTypeNak {
		peer = &net.UDPAddr{IP: net.IPv4bcast, Port: dhcpv4.ClientPort}
	}
	s.mu.Lock()
	terse := s.policy.terse
	s.mu.Unlock()
	data := answer.ToBytes()
	if terse {
		data = terseAnswer(answer, peer)
	}
	s.conn.WriteTo(data, peer)
}

// terseAnswer has no server identifier and, as a renewal, no more than it must; else it has options in the
// fields file (a router, resolvers) and sname (a search list, an MTU).
func terseAnswer(answer *dhcpv4.DHCPv4, peer net.Addr) []byte {
	answer.ServerIPAddr = net.ParseIP(serverAddress)
	answer.DeleteOption(dhcpv4.OptionServerIdentifier)
	answer.DeleteOption(dhcpv4.OptionRouter)
	if !peer.(*net.UDPAddr).IP.Equal(net.IPv4bcast) {
		answer.DeleteOption(dhcpv4.OptionSubnetMask)
		answer.DeleteOption(dhcpv4.OptionIPAddressLeaseTime)
		return answer.ToBytes()
	}
	answer.UpdateOption(raw(52, 3))
	data := answer.ToBytes()
	copy(data[messageFile:], []byte{0, 3, 4, 192, 0, 2, 1, 6, 4, 192, 0, 2, 3, 255})
	copy(data[messageSname:], []byte{119, 9, 7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 0, 26, 2, 5, 120, 255})
	return data
}

// serverAddress is that of every LAN's server.
const serverAddress = "192.0.2.1"

func (p policy) answer(message *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	kind := dhcpv4.MessageTypeOffer
	switch {
	case p.silent:
		return nil
	case message.MessageType() == dhcpv4.MessageTypeRequest && p.refuse:
		kind = dhcpv4.MessageTypeNak
	case message.MessageType() == dhcpv4.MessageTypeRequest:
		kind = dhcpv4.MessageTypeAck
	}
	answer, _ := dhcpv4.NewReplyFromRequest(message,
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.ParseIP(serverAddress))))
	if kind == dhcpv4.MessageTypeNak {
		return answer
	}
	answer.YourIPAddr = net.ParseIP(p.address)
	answer.UpdateOption(dhcpv4.OptSubnetMask(net.CIDRMask(24, 32)))
	answer.UpdateOption(dhcpv4.OptRouter(net.ParseIP(serverAddress)))
	answer.UpdateOption(dhcpv4.OptIPAddressLeaseTime(time.Duration(p.seconds) * time.Second))
	for _, option := range p.options {
		answer.UpdateOption(option)
	}
	return answer
}

// await returns the next message that fits.
func (s *server) await(t *testing.T, what string, fits func(seen) bool) seen {
	t.Helper()
	timeout := time.After(deadline)
	for {
		select {
		case message := <-s.seen:
			if fits(message) {
				return message
			}
		case <-timeout:
			t.Fatalf("the DHCP server never saw %s", what)
		}
	}
}

// wired is a /sys in which the named interfaces are wired NICs.
func wired(names ...string) fstest.MapFS {
	sys := fstest.MapFS{}
	for _, name := range names {
		sys["class/net/"+name+"/type"] = &fstest.MapFile{Data: []byte("1\n")}
		sys["class/net/"+name+"/device/modalias"] = &fstest.MapFile{Data: []byte("pci:v00008086d0000100E\n")}
	}
	return sys
}

// quick are timings that make the tests short.
var quick = Timing{
	Floor:        200 * time.Millisecond,
	FirstWait:    100 * time.Millisecond,
	MaxWait:      400 * time.Millisecond,
	CarrierWait:  500 * time.Millisecond,
	CarrierGrace: 500 * time.Millisecond,
	ServerWait:   time.Second,

	AnswerGrace: 300 * time.Millisecond,
	AddressWait: 2 * time.Second,
	ProbeWait6:  100 * time.Millisecond,

	ProbeWait:        60 * time.Millisecond,
	AnnounceInterval: 100 * time.Millisecond,
	DefendInterval:   time.Minute, // so that a slow machine does not make two conflicts two single ones
	DeclinePause:     200 * time.Millisecond,
}

// events are what a manager under test reported.
type events struct {
	t    *testing.T
	ch   chan Event // without the quiet ones
	all  chan Event
	m    *Manager
	stop func()
}

// quiet are the events that come beside those that most tests are about.
var quiet = []EventKind{EventStatus, EventNoAddress, EventReachable, EventLinkDown, EventLinkUp}

// manage runs a manager until the test ends, or stop is called.
func manage(t *testing.T, options Options) *events {
	t.Helper()
	e := &events{t: t, ch: make(chan Event, 1000), all: make(chan Event, 1000)}
	options.Timing = quick
	options.Report = func(event Event) {
		t.Logf("%v %+v", event.Kind, event)
		e.all <- event
		if !slices.Contains(quiet, event.Kind) {
			e.ch <- event
		}
	}
	m := must(NewManager(options))(t)
	e.m = m
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	e.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(e.stop)
	return e
}

// await returns the next event of a kind. Only those of the kinds passed over may come before.
func (e *events) await(kind EventKind, passedOver ...EventKind) Event {
	e.t.Helper()
	timeout := time.After(deadline)
	for {
		select {
		case event := <-e.ch:
			if event.Kind == kind {
				return event
			}
			late := kind == EventLease && event.Kind == EventNoLease // on a busy machine, for the quick timing
			if !late && !slices.Contains(passedOver, event.Kind) {
				e.t.Fatalf("got event %v %+v while waiting for %v", event.Kind, event, kind)
			}
		case <-timeout:
			e.t.Fatalf("no event %v", kind)
		}
	}
}

// addresses returns the IPv4 addresses of a link, with spaces between them.
func addresses(t *testing.T, name string) string {
	t.Helper()
	link := must(netlink.LinkByName(name))(t)
	var prefixes []string
	for _, addr := range must(netlink.AddrList(link, netlink.FAMILY_V4))(t) {
		prefixes = append(prefixes, addr.IPNet.String())
	}
	return strings.Join(prefixes, " ")
}

// ports returns the names of a bridge's ports.
func ports(t *testing.T, bridge string) []string {
	t.Helper()
	index := must(netlink.LinkByName(bridge))(t).Attrs().Index
	var names []string
	for _, link := range must(listLinks())(t) {
		if link.Attrs().MasterIndex == index {
			names = append(names, link.Attrs().Name)
		}
	}
	return names
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
