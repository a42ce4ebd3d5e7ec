package netcfg

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestContends(t *testing.T) {
	ours, theirs := [6]byte{2, 0, 0, 0, 0, 1}, [6]byte{2, 0, 0, 0, 0, 2}
	address, other := netip.MustParseAddr("192.0.2.50"), netip.MustParseAddr("192.0.2.51")
	none := netip.IPv4Unspecified()
	tests := map[string]struct {
		packet  arpPacket
		probing bool // contends while we probe
		using   bool // contends while we use the address
	}{
		"its reply":             {arpPacket{arpReply, theirs, address, none}, true, true},
		"its announcement":      {arpPacket{arpRequest, theirs, address, address}, true, true},
		"its request":           {arpPacket{arpRequest, theirs, address, other}, true, true},
		"its probe":             {arpPacket{arpRequest, theirs, none, address}, true, false},
		"a probe for another":   {arpPacket{arpRequest, theirs, none, other}, false, false},
		"a question":            {arpPacket{arpRequest, theirs, other, address}, false, false},
		"our probe, sent back":  {arpPacket{arpRequest, ours, none, address}, false, false},
		"our announcement":      {arpPacket{arpRequest, ours, address, address}, false, false},
		"an answer to somebody": {arpPacket{arpReply, theirs, other, address}, false, false},
	}
	for name, test := range tests {
		for probing, want := range map[bool]bool{true: test.probing, false: test.using} {
			if got := test.packet.contends(ours[:], address, probing); got != want {
				t.Errorf("%s (probing %v): got %v", name, probing, got)
			}
		}
	}
}

func isDecline(m seen) bool { return m.MessageType() == dhcpv4.MessageTypeDecline }

// A host on the LAN has the address that the server gives away.
func TestAddressInUseIsDeclined(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		l := plugNIC(t, "eth0", serverAddress+"/24")
		check(t, l.handle.AddrAdd(l.port, must(netlink.ParseAddr("192.0.2.50/24"))(t)))
		s := l.serve(policy{address: "192.0.2.50", seconds: 3600})
		e := manage(t, Options{Network: DefaultNetwork(bridgeName), Sys: wired("eth0")})
		if got := e.await(EventConflict, EventNIC).Address.String(); got != "192.0.2.50/32" {
			t.Errorf("conflict over %s", got)
		}
		decline := s.await(t, "a DECLINE", isDecline)
		if !decline.RequestedIPAddress().Equal(net.IPv4(192, 0, 2, 50)) ||
			!decline.ServerIdentifier().Equal(net.ParseIP(serverAddress)) || !decline.ClientIPAddr.IsUnspecified() {
			t.Errorf("DECLINE: %s", decline.Summary())
		}
		for !strings.Contains(e.await(EventNoLease).Err.Error(), "192.0.2.50 is used by another host") {
		}
		s.set(func(p *policy) { p.address = "192.0.2.51" })
		if got := e.await(EventLease, EventNoLease).Lease.Address.String(); got != "192.0.2.51/24" {
			t.Errorf("address %s", got)
		}
	})
}

// claims sends an announcement of an address by another host.
func claims(t *testing.T, tap *tap, address string) {
	t.Helper()
	addr := netip.MustParseAddr(address)
	check(t, tap.write(arpFrame(testMAC, addr, addr)))
}

func TestAddressIsDefendedOnce(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		l := plugNIC(t, "eth0", serverAddress+"/24")
		s := l.serve(policy{address: "192.0.2.50", seconds: 3600})
		var tap *tap
		var err error
		l.inside(func() {
			tap, err = openTap(l.port.Attrs().Index, unix.ETH_P_ALL, conflictFilter(netip.MustParseAddr("192.0.2.50")))
		})
		lan := testTap(t, tap, err)
		e := manage(t, Options{Network: DefaultNetwork(bridgeName), Sys: wired("eth0")})
		e.await(EventLease, EventNIC)
		for range announcements {
			lan.awaitAnnouncement()
		}
		claims(t, tap, "192.0.2.50")
		lan.awaitAnnouncement()
		if len(e.ch) > 0 {
			t.Errorf("after one conflict: %v", (<-e.ch).Kind)
		}
		s.set(func(p *policy) { p.address = "192.0.2.51" })
		claims(t, tap, "192.0.2.50")
		e.await(EventConflict)
		lost := e.await(EventLost)
		if want := "with MAC " + testMAC.String(); !strings.Contains(lost.Err.Error(), want) {
			t.Errorf("lost because of %v", lost.Err)
		}
		s.await(t, "a DECLINE", isDecline)
		if got := e.await(EventLease).Lease.Address.String(); got != "192.0.2.51/24" {
			t.Errorf("then %s", got)
		}
	})
}

// awaitAnnouncement reads until 192.0.2.50 is announced.
func (p *tapTester) awaitAnnouncement() {
	p.t.Helper()
	address := netip.MustParseAddr("192.0.2.50")
	frame := make([]byte, 2000)
	for {
		n, err := p.readUntil(soon(), frame)
		check(p.t, err)
		packet, ok := parseARP(frame[ethernetHeader:n])
		if ok && packet.sender == address && packet.target == address {
			return
		}
	}
}

// A guest says all the time that it has dom0's address, from before dom0 has asked for one.
func TestGuestCannotTakeDom0sAddress(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		s := serveLAN(t, "eth0", policy{address: "192.0.2.50", seconds: 60, options: renewal(1, 50)})
		guest := plugNIC(t, "vif1.0", "192.0.2.50/24")
		check(t, Bridge{bridgeName}.Ensure())
		check(t, AttachPort(bridgeName, "vif1.0", nil))
		tap, err := (*tap)(nil), error(nil)
		guest.inside(func() { tap, err = openTap(guest.port.Attrs().Index, unix.ETH_P_ALL, arpFilter) })
		check(t, err)
		defer tap.Close()
		awaitUp(t, guest.handle, "lan-vif1.0")
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
					tap.write(arpFrame(testMAC, netip.MustParseAddr("192.0.2.50"), netip.MustParseAddr("192.0.2.50")))
				}
			}
		}()
		e := manage(t, Options{Network: DefaultNetwork(bridgeName), Sys: wired("eth0")})
		e.await(EventNIC)
		e.await(EventLease)
		s.await(t, "a renewal", isUnicast)
		e.await(EventRenewed)
	})
}

func FuzzContends(f *testing.F) {
	address := netip.MustParseAddr("192.0.2.50")
	f.Add(arpFrame(testMAC, address, address)[ethernetHeader:])
	f.Fuzz(func(t *testing.T, data []byte) {
		packet, ok := parseARP(data)
		if ok && packet.contends(testMAC, address, true) && packet.sender != address && packet.target != address {
			t.Errorf("% x contends for %s", data, address)
		}
	})
}
