package vifrules

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/testns"
)

const deadline = 30 * time.Second

// bench is a bridge with three guests' vifs, a "NIC", and a port by which the test marks the end of what it waits for.
type bench struct {
	t     *testing.T
	rules Rules
	far   map[string]*wire // by the port's name
	sent  byte             // numbers the marks
}

// wire is the far end of a port: what a guest or the LAN sends and gets.
type wire struct {
	t  *testing.T
	fd int
	to unix.SockaddrLinklayer
}

const (
	bridgeName = "br0"
	uuid1      = "00000000-0000-0000-0000-000000000001"
	uuid2      = "00000000-0000-0000-0000-000000000002"
	uuid3      = "00000000-0000-0000-0000-000000000003"
	mac1       = "00:16:3e:00:00:01"
	mac2       = "00:16:3e:00:00:02"
	mac3       = "00:16:3e:00:00:03"
	macLAN     = "02:00:00:00:00:99"
	own        = "10.9.0.1" // dom0's address
)

// onBench runs body with a bench in a network of its own.
func onBench(t *testing.T, body func(*bench)) {
	t.Helper()
	t.Parallel()
	testns.Run(t, syscall.CLONE_NEWNET, func(t *testing.T) {
		runtime.LockOSThread()
		var first unix.CPUSet // frames stay in their order on one processor
		check(t, unix.SchedGetaffinity(0, &first))
		for cpu, found := 0, false; cpu < 1024; cpu++ {
			if found {
				first.Clear(cpu)
			}
			found = found || first.IsSet(cpu)
		}
		check(t, unix.SchedSetaffinity(0, &first))
		b := &bench{t: t, rules: Rules{Dir: t.TempDir()}, far: map[string]*wire{}}
		b.build()
		body(b)
	})
}

func (b *bench) build() {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = bridgeName
	check(b.t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	check(b.t, netlink.LinkSetUp(linkOf(b.t, bridgeName)))
	check(b.t, netlink.LinkSetUp(linkOf(b.t, "lo")))
	for _, port := range []string{"nic0", "mark0"} {
		b.port(port)
		b.join(port)
	}
}

func linkOf(t *testing.T, name string) netlink.Link {
	t.Helper()
	link, err := netlink.LinkByName(name)
	check(t, err)
	return link
}

// port makes an interface and listens at its far end.
func (b *bench) port(name string) {
	b.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	check(b.t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "far-" + name}))
	for _, end := range []string{name, "far-" + name} {
		check(b.t, netlink.LinkSetIP6AddrGenMode(linkOf(b.t, end), 1))
		check(b.t, netlink.LinkSetUp(linkOf(b.t, end)))
	}
	index := linkOf(b.t, "far-"+name).Attrs().Index
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	check(b.t, err)
	check(b.t, unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: index, Protocol: 0x0300}))
	limit := unix.NsecToTimeval(int64(deadline))
	check(b.t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
	b.far[name] = &wire{t: b.t, fd: fd, to: unix.SockaddrLinklayer{Ifindex: index}}
}

func (b *bench) join(name string) {
	b.t.Helper()
	check(b.t, netlink.LinkSetMaster(linkOf(b.t, name), linkOf(b.t, bridgeName)))
}

// guest plugs a guest in.
func (b *bench) guest(name, hardware, uuid string) {
	b.t.Helper()
	b.port(name)
	check(b.t, b.rules.Plug(Vif{
		Name: name, Bridge: bridgeName, MAC: hardware, Domid: 1, UUID: uuid, Guest: "guest" + uuid[len(uuid)-1:],
	}))
	b.join(name)
	check(b.t, b.rules.Joined(name))
}

func (b *bench) guests() {
	b.t.Helper()
	b.guest("vif1.0", mac1, uuid1)
	b.guest("vif2.0", mac2, uuid2)
	b.guest("vif3.0", mac3, uuid3)
}

func (w *wire) send(frame []byte) {
	w.t.Helper()
	check(w.t, unix.Sendto(w.fd, frame, 0, &w.to))
}

// arrives says whether a frame that is sent at one port arrives at another.
func (b *bench) arrives(from, to string, sent []byte) bool {
	b.t.Helper()
	b.far[from].send(sent)
	b.sent++
	end := frame(broadcast, mac("02:00:00:00:00:77"), 0x88b5, []byte{b.sent})
	b.far["mark0"].send(end)
	found, got := false, make([]byte, 2048)
	for {
		n, _, err := unix.Recvfrom(b.far[to].fd, got, 0)
		check(b.t, err)
		if bytes.Equal(got[:n], end) {
			return found
		}
		found = found || bytes.Equal(got[:n], sent)
	}
}

func (b *bench) traffic(uuid string) Traffic {
	b.t.Helper()
	all, _, err := b.rules.Traffic()
	check(b.t, err)
	for _, t := range all {
		if t.UUID == uuid {
			return t
		}
	}
	return Traffic{}
}

// drops checks that a guest's frame is dropped and counted, or that it passes (reason "").
func (b *bench) drops(what, from, to, uuid string, sent []byte, reason Reason) {
	b.t.Helper()
	before := b.traffic(uuid)
	passed := b.arrives(from, to, sent)
	after := b.traffic(uuid)
	if passed != (reason == "") {
		b.t.Errorf("%s: arrives %v, want %v", what, passed, reason == "")
	}
	for _, r := range Reasons {
		want := before.Dropped[r].Packets
		if r == reason {
			want++
		}
		if got := after.Dropped[r].Packets; got != want {
			b.t.Errorf("%s: counter %s is %d, want %d", what, r, got, want)
		}
	}
}

func (b *bench) configure(change func(*Config)) {
	b.t.Helper()
	check(b.t, b.rules.Configure(change))
}

// set gives a guest other settings.
func (b *bench) set(uuid string, guest Guest) {
	b.t.Helper()
	b.configure(func(c *Config) {
		if c.Guests == nil {
			c.Guests = map[string]Guest{}
		}
		c.Guests[uuid] = guest
	})
}

// Frames that a guest must not send, and some that it may.
func guestFrames() []struct {
	name   string
	frame  []byte
	reason Reason
} {
	m1, m2 := mac(mac1), mac(mac2)
	all6 := "ff02::1"
	return []struct {
		name   string
		frame  []byte
		reason Reason
	}{
		{"ARP", arp(m1, m1, "10.9.0.5"), ""},
		{"ARP probe", arp(m1, m1, "0.0.0.0"), ""},
		{"UDP", ipv4(broadcast, m1, "10.9.0.5", "10.9.0.255", 17, datagram(5000, 6000)), ""},
		{"DHCP request", ipv4(broadcast, m1, "0.0.0.0", "255.255.255.255", 17, datagram(68, 67)), ""},
		{"IPv6", ipv6(broadcast, m1, "2001:db8::5", all6, 17, datagram(5000, 6000)), ""},
		{"neighbour advertisement", ipv6(broadcast, m1, "fe80::5", all6, 58,
			message(136, append(make([]byte, 4), netip.MustParseAddr("fe80::5").AsSlice()...)...)), ""},
		{"another protocol", frame(broadcast, m1, 0x88b5, []byte("hello")), ""},

		{"spoofed MAC", arp(m2, m2, "10.9.0.5"), SpoofedMAC},
		{"spanning tree", frame(mac("01:80:c2:00:00:00"), m1, 39, []byte{0x42, 0x42, 3}), Control},
		{"Cisco's spanning tree", frame(mac("01:00:0c:cc:cc:cd"), m1, 50, []byte{0xaa, 0xaa, 3, 0, 0, 0xc, 1, 0xb}),
			Control},
		{"ARP in SNAP", frame(broadcast, m1, 36, []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 6}, arp(m1, m1, own)[14:]), Control},
		{"VLAN tag", tagged(arp(m1, m1, "10.9.0.5"), 5), Tagged},
		{"ARP with another MAC", arp(m1, m2, "10.9.0.5"), SpoofedARP},
		{"ARP with dom0's address", arp(m1, m1, own), SpoofedARP},
		{"dom0's address", ipv4(broadcast, m1, own, "10.9.0.255", 17, datagram(5000, 6000)), SpoofedIP},
		{"dom0's IPv6 address", ipv6(broadcast, m1, "fd00::1", all6, 17, datagram(5000, 6000)), SpoofedIP},
		{"advertisement of dom0's", ipv6(broadcast, m1, "fe80::5", all6, 58,
			message(136, append(make([]byte, 4), netip.MustParseAddr("fd00::1").AsSlice()...)...)), SpoofedIP},
		{"DHCP offer", ipv4(broadcast, m1, "10.9.0.5", "255.255.255.255", 17, datagram(67, 68)), DHCPServer},
		{"DHCP offer from another port", ipv4(broadcast, m1, "10.9.0.5", "255.255.255.255", 17, datagram(9, 68)),
			DHCPServer},
		{"DHCPv6 reply", ipv6(broadcast, m1, "fe80::5", all6, 17, datagram(547, 546)), DHCPServer},
		{"router advertisement", ipv6(broadcast, m1, "fe80::5", all6, 58, message(134, make([]byte, 12)...)), RouterAd},
		{"the same behind an extension header", ipv6(broadcast, m1, "fe80::5", all6, 0,
			append([]byte{58, 0, 1, 4, 0, 0, 0, 0}, message(134, make([]byte, 12)...)...)), RouterAd},
		{"redirect", ipv4(broadcast, m1, "10.9.0.5", "10.9.0.255", 1, message(5, make([]byte, 28)...)), Redirect},
		{"IPv6 redirect", ipv6(broadcast, m1, "fe80::5", all6, 58, message(137, make([]byte, 40)...)), Redirect},
	}
}

func TestDefaultGuest(t *testing.T) {
	onBench(t, func(b *bench) {
		b.configure(func(c *Config) {
			c.Host.Protected = []netip.Addr{netip.MustParseAddr(own), netip.MustParseAddr("fd00::1")}
		})
		b.guests()
		for _, f := range guestFrames() {
			b.drops(f.name+" to the LAN", "vif1.0", "nic0", uuid1, f.frame, f.reason)
			b.drops(f.name+" to a neighbour", "vif1.0", "vif2.0", uuid1, f.frame, f.reason)
		}
		if !b.arrives("nic0", "vif1.0", arp(mac(macLAN), mac(macLAN), "10.9.0.8")) {
			t.Error("the LAN does not reach the guest")
		}
		before := b.traffic(uuid1)
		if before.Name != "guest1" || before.Received.Packets == 0 || before.Sent.Bytes == 0 {
			t.Errorf("counted %+v", before)
		}
	})
}

func TestTrustedGuest(t *testing.T) {
	onBench(t, func(b *bench) {
		b.guests()
		b.set(uuid1, Guest{Trust: trustable})
		for _, f := range guestFrames() {
			if f.reason != Tagged { // packet sockets show the tag elsewhere
				b.drops(f.name, "vif1.0", "nic0", uuid1, f.frame, "")
			}
		}
	})
}

func TestFixedAddresses(t *testing.T) {
	onBench(t, func(b *bench) {
		b.set(uuid1, Guest{Addresses: []netip.Addr{
			netip.MustParseAddr("10.9.0.5"), netip.MustParseAddr("2001:db8::5"),
		}})
		b.guests()
		m1 := mac(mac1)
		for _, test := range []struct {
			name   string
			frame  []byte
			reason Reason
		}{
			{"own", ipv4(broadcast, m1, "10.9.0.5", "10.9.0.255", 17, datagram(1, 2)), ""},
			{"other", ipv4(broadcast, m1, "10.9.0.6", "10.9.0.255", 17, datagram(1, 2)), SpoofedIP},
			{"own ARP", arp(m1, m1, "10.9.0.5"), ""},
			{"ARP probe", arp(m1, m1, "0.0.0.0"), ""},
			{"other ARP", arp(m1, m1, "10.9.0.6"), SpoofedARP},
			{"own IPv6", ipv6(broadcast, m1, "2001:db8::5", "ff02::1", 17, datagram(1, 2)), ""},
			{"link-local", ipv6(broadcast, m1, "fe80::7", "ff02::1", 17, datagram(1, 2)), ""},
			{"other IPv6", ipv6(broadcast, m1, "2001:db8::6", "ff02::1", 17, datagram(1, 2)), SpoofedIP},
			{"other's advertisement", ipv6(broadcast, m1, "fe80::7", "ff02::1", 58,
				message(136, append(make([]byte, 4), netip.MustParseAddr("2001:db8::6").AsSlice()...)...)), SpoofedIP},
		} {
			b.drops(test.name, "vif1.0", "nic0", uuid1, test.frame, test.reason)
		}
	})
}

func TestIsolation(t *testing.T) {
	onBench(t, func(b *bench) {
		b.guests()
		b.set(uuid1, Guest{Isolated: true})
		hello := func(m string) []byte { return arp(mac(m), mac(m), "10.9.0.5") }
		if b.arrives("vif1.0", "vif2.0", hello(mac1)) {
			t.Error("the isolated guest reaches a neighbour")
		}
		before := b.traffic(uuid1).Dropped[Neighbour].Packets // the frame above was dropped on its way to two
		if before != 2 {
			t.Errorf("dropped %d, want 2", before)
		}
		if b.arrives("vif2.0", "vif1.0", hello(mac2)) {
			t.Error("a neighbour reaches the isolated guest")
		}
		if !b.arrives("vif2.0", "vif3.0", hello(mac2)) || !b.arrives("vif1.0", "nic0", hello(mac1)) ||
			!b.arrives("nic0", "vif1.0", hello(macLAN)) {
			t.Error("too much is isolated")
		}
		b.set(uuid1, Guest{})
		if !b.arrives("vif1.0", "vif2.0", hello(mac1)) {
			t.Error("still isolated")
		}
	})
}

// The list of what may come in, and replies that need not be on it.
func TestInbound(t *testing.T) {
	onBench(t, func(b *bench) {
		b.guests()
		b.set(uuid1, Guest{Inbound: []Inbound{
			{Protocol: TCP, First: 80}, {Protocol: UDP, First: 1000, Last: 1010},
			{Protocol: ICMP, From: netip.MustParsePrefix("10.9.0.0/28")},
		}})
		m1, m2 := mac(mac1), mac(mac2)
		from2 := func(protocol byte, body []byte) []byte {
			return ipv4(m1, m2, "10.9.0.6", "10.9.0.5", protocol, body)
		}
		for _, test := range []struct {
			name   string
			frame  []byte
			reason Reason
		}{
			{"ARP", arp(m2, m2, "10.9.0.6"), ""},
			{"TCP 80", from2(6, segment(4000, 80, 0x02)), ""},
			{"TCP 81", from2(6, segment(4000, 81, 0x02)), NotInbound},
			{"TCP reply", from2(6, segment(80, 4000, 0x12)), ""},
			{"UDP 1005", from2(17, datagram(4000, 1005)), ""},
			{"UDP 1011", from2(17, datagram(4000, 1011)), NotInbound},
			{"ping", from2(1, message(8, 0, 1, 0, 1)), ""},
			{"ping from elsewhere", ipv4(m1, m2, "10.9.0.77", "10.9.0.5", 1, message(8, 0, 1, 0, 1)), NotInbound},
			{"ICMP error", from2(1, message(3, make([]byte, 32)...)), ""},
			{"SCTP", from2(132, make([]byte, 12)), NotInbound},
			{"IPv6 UDP", ipv6(m1, m2, "fe80::6", "fe80::5", 17, datagram(4000, 1011)), NotInbound},
			{"IPv6 solicitation", ipv6(m1, m2, "fe80::6", "fe80::5", 58, message(135, make([]byte, 20)...)), ""},
			{"later IPv6 fragment", ipv6(m1, m2, "fe80::6", "fe80::5", 44,
				append([]byte{17, 0, 0x01, 0x00, 0, 0, 0, 1}, make([]byte, 16)...)), ""},
		} {
			b.drops(test.name, "vif2.0", "vif1.0", uuid1, test.frame, test.reason)
		}
		// A reply to what the guest asked.
		reply := from2(17, datagram(53, 5353))
		b.drops("UDP before the question", "vif2.0", "vif1.0", uuid1, reply, NotInbound)
		b.arrives("vif1.0", "vif2.0", ipv4(m2, m1, "10.9.0.5", "10.9.0.6", 17, datagram(5353, 53)))
		b.drops("UDP after the question", "vif2.0", "vif1.0", uuid1, reply, "")
		reply6 := ipv6(m1, m2, "fe80::6", "fe80::5", 17, datagram(53, 5353))
		b.drops("IPv6 before", "vif2.0", "vif1.0", uuid1, reply6, NotInbound)
		b.arrives("vif1.0", "vif2.0", ipv6(m2, m1, "fe80::5", "fe80::6", 17, datagram(5353, 53)))
		b.drops("IPv6 after", "vif2.0", "vif1.0", uuid1, reply6, "")
	})
}

func TestRate(t *testing.T) {
	onBench(t, func(b *bench) {
		b.guests()
		b.set(uuid1, Guest{Rate: minRate})
		m1 := mac(mac1)
		large := frame(broadcast, m1, 0x88b5, make([]byte, 1400))
		passed := 0
		for range 200 { // 280 KB, of which a burst of 64 KB and what a slow machine takes seconds for may pass
			if b.arrives("vif1.0", "nic0", large) {
				passed++
			}
		}
		dropped := b.traffic(uuid1).Dropped[OverRate].Packets
		if passed == 0 || dropped == 0 || uint64(passed)+dropped != 200 {
			t.Errorf("%d passed, %d dropped", passed, dropped)
		}
	})
}

// A guest in a VLAN reaches the NIC and no guest outside it, until it leaves.
func TestVLAN(t *testing.T) {
	onBench(t, func(b *bench) {
		b.guests()
		err := b.rules.Configure(func(c *Config) { c.Guests = map[string]Guest{uuid1: {VLAN: 100}} })
		if errors.Is(err, unix.EOPNOTSUPP) {
			t.Skip("this kernel's bridges have no VLANs")
		}
		check(t, err)
		hello := arp(mac(mac1), mac(mac1), "10.9.0.5")
		if !b.arrives("vif1.0", "nic0", hello) || b.arrives("vif1.0", "vif2.0", hello) {
			t.Error("the guest is not in its VLAN")
		}
		if !b.arrives("vif2.0", "nic0", arp(mac(mac2), mac(mac2), "10.9.0.6")) {
			t.Error("other guests do not reach the NIC")
		}
		b.set(uuid1, Guest{})
		if !b.arrives("vif1.0", "vif2.0", hello) {
			t.Error("the guest is still in its VLAN")
		}
	})
}

// A vif whose rules could not be made must not be a way past them.
func TestVifWithoutRules(t *testing.T) {
	onBench(t, func(b *bench) {
		b.guests()
		b.port("vif9.0")
		b.join("vif9.0")
		if b.arrives("vif9.0", "nic0", arp(mac(mac1), mac(mac1), "10.9.0.5")) {
			t.Error("a vif without rules gets through")
		}
		if _, drops, err := b.rules.Traffic(); err != nil || drops.Unknown.Packets != 1 {
			t.Errorf("%+v, %v", drops, err)
		}
	})
}

// Rules and counters of a guest that is restarted, and of one that is gone.
func TestVifsComeAndGo(t *testing.T) {
	onBench(t, func(b *bench) {
		b.set(uuid1, Guest{Name: "web"})
		b.guests()
		b.arrives("vif1.0", "nic0", arp(mac(mac1), mac(mac1), "10.9.0.5"))
		b.arrives("vif2.0", "nic0", arp(mac(mac2), mac(mac2), "10.9.0.6"))
		sent := b.traffic(uuid1).Sent
		check(t, netlink.LinkDel(linkOf(t, "vif1.0"))) // nobody tells
		check(t, netlink.LinkDel(linkOf(t, "vif2.0")))
		check(t, b.rules.Unplug("vif2.0"))
		check(t, b.rules.Unplug("vif2.0")) // twice is no error
		b.guest("vif4.0", mac1, uuid1)
		vifs, err := b.rules.Vifs()
		check(t, err)
		if len(vifs) != 2 || vifs[0].Name != "vif3.0" || vifs[1].Name != "vif4.0" || vifs[1].Guest != "web" {
			t.Errorf("vifs %+v", vifs)
		}
		if again := b.traffic(uuid1); again.Sent != sent || again.Name != "web" {
			t.Errorf("counted %+v, before the restart %+v", again, sent)
		}
		if gone := b.traffic(uuid2); gone.UUID != "" {
			t.Errorf("still counted: %+v", gone)
		}
		b.drops("after the restart", "vif4.0", "nic0", uuid1, arp(mac(mac2), mac(mac2), "10.9.0.5"), SpoofedMAC)
	})
}

// Rules that somebody has flushed come back, and a change leaves alone whom it does not concern.
func TestRestore(t *testing.T) {
	onBench(t, func(b *bench) {
		b.guests()
		tables := must(openTables())(t)
		defer tables.close()
		tables.conn.FlushRuleset()
		check(t, tables.commit("nothing"))
		spoofed := arp(mac(mac2), mac(mac2), "10.9.0.5")
		if !b.arrives("vif1.0", "nic0", spoofed) {
			t.Fatal("the rules are still there")
		}
		check(t, b.rules.Restore())
		b.drops("after Restore", "vif1.0", "nic0", uuid1, spoofed, SpoofedMAC)
		tables.conn.FlushRuleset()
		check(t, tables.commit("nothing"))
		b.configure(func(*Config) {})
		b.drops("after Configure", "vif1.0", "nic0", uuid1, spoofed, SpoofedMAC)
		b.set(uuid2, Guest{Isolated: true})
		b.drops("after a change of another", "vif1.0", "nic0", uuid1, spoofed, SpoofedMAC)
		if err := b.rules.Configure(func(c *Config) { c.Guests[uuid1] = Guest{VLAN: -1} }); err == nil {
			t.Error("a wrong guest is no error")
		}
		b.drops("after a wrong change", "vif1.0", "nic0", uuid1, spoofed, SpoofedMAC)
	})
}

// What may come in to dom0 from guests and from the LAN.
func TestInput(t *testing.T) {
	onBench(t, func(b *bench) {
		b.guests()
		check(t, netlink.AddrAdd(linkOf(t, bridgeName), must(netlink.ParseAddr(own+"/24"))(t)))
		b.configure(func(c *Config) {
			c.Host.Open = []Service{{UDP, 22}}
			c.Host.OpenGuests = []Service{{UDP, 80}}
		})
		check(t, b.rules.Configure(func(c *Config) { c.Guests = map[string]Guest{uuid2: {NoHost: true}} }))
		to := linkOf(t, bridgeName).Attrs().HardwareAddr
		for _, test := range []struct {
			port, name string
			source     string
			open       map[uint16]bool
		}{
			{"vif1.0", mac1, "10.9.0.5", map[uint16]bool{80: true, 22: false, 99: false}},
			{"vif2.0", mac2, "10.9.0.6", map[uint16]bool{80: false, 22: false, 99: false}},
			{"nic0", macLAN, "10.9.0.8", map[uint16]bool{80: false, 22: true, 99: false}},
		} {
			for port, open := range test.open {
				conn := must(net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(own), Port: int(port)}))(t)
				b.arrives(test.port, "vif3.0", ipv4(to, mac(test.name), test.source, own, 17, datagram(4000, port)))
				check(t, conn.SetReadDeadline(time.Now().Add(wait(open))))
				if _, _, err := conn.ReadFromUDP(make([]byte, 100)); (err == nil) != open {
					t.Errorf("%s to port %d: %v, want open %v", test.port, port, err, open)
				}
				conn.Close()
			}
		}
		_, drops, err := b.rules.Traffic()
		if err != nil || drops.FromGuests.Packets != 5 || drops.FromOutside.Packets != 2 {
			t.Errorf("%+v, %v", drops, err)
		}
	})
}

// wait is how long something takes to come at most, or has to be seen not to come.
func wait(comes bool) time.Duration {
	if comes {
		return deadline
	}
	return 50 * time.Millisecond
}

// dom0's DHCP server hears and reaches guests only, and private addresses do not get to the LAN.
func TestFence(t *testing.T) {
	onBench(t, func(b *bench) {
		b.guests()
		check(t, netlink.AddrAdd(linkOf(t, bridgeName), must(netlink.ParseAddr(own+"/24"))(t)))
		b.configure(func(c *Config) {
			prefix := netip.MustParsePrefix(own + "/24")
			c.Host.Private = []Private{{Bridge: bridgeName, Prefix: prefix, Temporary: true}}
		})
		server := must(net.ListenUDP("udp4", &net.UDPAddr{Port: 67}))(t)
		defer server.Close()
		ask := func(port, hardware string) bool {
			b.arrives(port, "vif3.0",
				ipv4(broadcast, mac(hardware), "0.0.0.0", "255.255.255.255", 17, datagram(68, 67)))
			check(t, server.SetReadDeadline(time.Now().Add(wait(port != "nic0"))))
			_, _, err := server.ReadFromUDP(make([]byte, 100))
			return err == nil
		}
		if !ask("vif1.0", mac1) {
			t.Error("a guest does not reach the DHCP server")
		}
		if ask("nic0", macLAN) {
			t.Error("the LAN reaches the DHCP server")
		}
		offers := func(port string) bool { return b.sees(port, func() { offer(t, server) }) }
		if !offers("vif1.0") || offers("nic0") {
			t.Error("the DHCP server's answers go where they should not, or not where they should")
		}
		lease := b.lease("vif1.0")
		private := arp(mac(mac1), mac(mac1), lease.String())
		if b.arrives("vif1.0", "nic0", private) || !b.arrives("vif1.0", "vif2.0", private) {
			t.Error("private addresses get to the LAN, or not to neighbours")
		}
		if !b.arrives("vif1.0", "nic0", arp(mac(mac1), mac(mac1), "10.10.0.5")) {
			t.Error("other addresses do not get to the LAN")
		}
		if b.arrives("vif1.0", "vif2.0", arp(mac(mac1), mac(mac1), lease.Next().String())) {
			t.Error("a guest uses a private address that is not its own")
		}
	})
}

// lease is the address of a vif.
func (b *bench) lease(name string) netip.Addr {
	b.t.Helper()
	vifs := must(b.rules.Vifs())(b.t)
	at := slices.IndexFunc(vifs, func(v Vif) bool { return v.Name == name })
	return vifs[at].Lease
}

// offer has dom0's server broadcast.
func offer(t *testing.T, server *net.UDPConn) {
	t.Helper()
	raw := must(server.SyscallConn())(t)
	check(t, raw.Control(func(fd uintptr) {
		check(t, unix.BindToDevice(int(fd), bridgeName))
		check(t, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1))
	}))
	_, err := server.WriteToUDP([]byte("offer"), &net.UDPAddr{IP: net.IPv4bcast, Port: 68})
	check(t, err)
}

// sees says whether a port gets UDP from port 67 when something is done.
func (b *bench) sees(port string, do func()) bool {
	b.t.Helper()
	do()
	b.sent++
	end := frame(broadcast, mac("02:00:00:00:00:77"), 0x88b5, []byte{b.sent})
	b.far["mark0"].send(end)
	found, got := false, make([]byte, 2048)
	for {
		n, _, err := unix.Recvfrom(b.far[port].fd, got, 0)
		check(b.t, err)
		if bytes.Equal(got[:n], end) {
			return found
		}
		isUDP := n > 42 && binary.BigEndian.Uint16(got[12:]) == etherIPv4 && got[23] == unix.IPPROTO_UDP
		found = found || isUDP && binary.BigEndian.Uint16(got[34:]) == 67
	}
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
