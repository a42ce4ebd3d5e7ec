package netserve

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/zerodisc/zerodisc/internal/dhcpwire"
)

var (
	testSite   = site{address: netip.MustParsePrefix("192.168.7.1/24"), httpPort: 8080}
	testMAC    = net.HardwareAddr{0x52, 0x54, 0, 1, 2, 3}
	testUUID   = append([]byte{0}, "0123456789abcdef"...)
	testMoment = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

func newTestServer(t testing.TB, addresses string) *dhcpServer {
	t.Helper()
	pool, err := parseRange(addresses, testSite.address)
	if err != nil {
		t.Fatal(err)
	}
	return newDHCPServer(testSite, pool, nil)
}

// message makes a client's message; a DISCOVER unless a modifier says otherwise.
func message(modifiers ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	m, _ := dhcpv4.New(append([]dhcpv4.Modifier{
		dhcpv4.WithHwAddr(testMAC), dhcpv4.WithMessageType(dhcpv4.MessageTypeDiscover),
	}, modifiers...)...)
	return m
}

// booting makes a message one of a boot client.
func booting(class string, archs ...iana.Arch) dhcpv4.Modifier {
	return func(m *dhcpv4.DHCPv4) {
		m.UpdateOption(dhcpv4.OptClassIdentifier(class))
		m.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClientMachineIdentifier, testUUID))
		if len(archs) > 0 {
			m.UpdateOption(dhcpv4.OptClientArch(archs...))
		}
	}
}

func with(code dhcpv4.OptionCode, value ...byte) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptGeneric(code, value))
}

var (
	ipxe    = dhcpv4.WithOption(dhcpv4.OptUserClass("iPXE"))
	request = dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest)
	theirs  = dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(192, 168, 7, 254)))
	ours    = dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(192, 168, 7, 1)))
)

func TestProxyDecision(t *testing.T) {
	const bios, uefi = "PXEClient:Arch:00000:UNDI:002001", "PXEClient:Arch:00007:UNDI:003016"
	for _, c := range []struct {
		name    string
		message *dhcpv4.DHCPv4
		port    int
		file    string // "": no reply
		class   string // of the reply
		vendor  bool   // the reply has option 43
	}{
		{"BIOS", message(booting(bios, 0)), portDHCP, "undionly.kpxe", "PXEClient", true},
		{"BIOS without option 93", message(booting("PXEClient")), portDHCP, "undionly.kpxe", "PXEClient", true},
		{"BIOS on 4011", message(booting(bios, 0), request), portProxy, "undionly.kpxe", "PXEClient", true},
		{"UEFI", message(booting(uefi, 7)), portDHCP, "pxe-uefi.efi", "PXEClient", false},
		{"UEFI as 9", message(booting(uefi, 9)), portDHCP, "pxe-uefi.efi", "PXEClient", false},
		{"UEFI on 4011", message(booting(uefi, 7), request), portProxy, "pxe-uefi.efi", "PXEClient", false},
		{"UEFI on 4011, server named", message(booting(uefi, 7), request, ours),
			portProxy, "pxe-uefi.efi", "PXEClient", false},
		{"one of several architectures", message(booting(uefi, 6, 7)), portDHCP, "pxe-uefi.efi", "PXEClient", false},
		{"HTTP Boot", message(booting("HTTPClient:Arch:00016:UNDI:003001", 16)),
			portDHCP, "http://192.168.7.1:8080/pxe-uefi.efi", "HTTPClient", false},
		{"iPXE on BIOS", message(booting(bios, 0), ipxe),
			portDHCP, "http://192.168.7.1:8080/boot.ipxe", "PXEClient", true},
		{"iPXE on UEFI", message(booting(uefi, 7), ipxe),
			portDHCP, "http://192.168.7.1:8080/boot.ipxe", "PXEClient", true},
		{"iPXE with HTTP", message(booting(bios, 0), ipxe, with(optionIPXE, 19, 1, 1)),
			portDHCP, "http://192.168.7.1:8080/boot.ipxe", "PXEClient", true},
		{"iPXE without HTTP", message(booting(bios, 0), ipxe, with(optionIPXE, 18, 1, 1)),
			portDHCP, "boot.ipxe", "PXEClient", true},
		{"user class of RFC 3004",
			message(booting(bios, 0), with(dhcpv4.OptionUserClassInformation, 4, 'i', 'P', 'X', 'E')),
			portDHCP, "http://192.168.7.1:8080/boot.ipxe", "PXEClient", true},

		{"no boot client", message(), portDHCP, "", "", false},
		{"another vendor class", message(booting("MSFT 5.0", 0)), portDHCP, "", "", false},
		{"UEFI of 32 bits", message(booting("PXEClient:Arch:00006", 6)), portDHCP, "", "", false},
		{"ARM by HTTP", message(booting("HTTPClient:Arch:00019", 19)), portDHCP, "", "", false},
		{"request for an address", message(booting(bios, 0), request), portDHCP, "", "", false},
		{"request to another server", message(booting(bios, 0), request, theirs), portProxy, "", "", false},
		{"siaddr of another server",
			message(booting(bios, 0), request, dhcpv4.WithServerIP(net.IPv4(192, 168, 7, 254))),
			portProxy, "", "", false},
		{"DISCOVER on 4011", message(booting(bios, 0)), portProxy, "", "", false},
		{"no boot client on 4011", message(request), portProxy, "", "", false},
		{"by a relay", message(booting(bios, 0), dhcpv4.WithGatewayIP(net.IPv4(10, 0, 0, 1))), portDHCP, "", "", false},
		{"a reply", message(booting(bios, 0), func(m *dhcpv4.DHCPv4) { m.OpCode = dhcpv4.OpcodeBootReply }),
			portDHCP, "", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			reply := newTestServer(t, "").decide(c.message, c.port, testMoment).reply
			if reply == nil || c.file == "" {
				if reply != nil || c.file != "" {
					t.Fatalf("got the reply %v, want file %q", reply, c.file)
				}
				return
			}
			if reply.BootFileName != c.file || reply.ClassIdentifier() != c.class {
				t.Errorf("got file %q and class %q, want %q and %q",
					reply.BootFileName, reply.ClassIdentifier(), c.file, c.class)
			}
			if got := reply.Options.Has(dhcpv4.OptionVendorSpecificInformation); got != c.vendor {
				t.Errorf("option 43 is there: %v, want %v", got, c.vendor)
			}
			checkProxyReply(t, c.message, reply)
		})
	}
}

// checkProxyReply holds what is true of all replies without an address.
func checkProxyReply(t *testing.T, m, reply *dhcpv4.DHCPv4) {
	t.Helper()
	kinds := map[dhcpv4.MessageType]dhcpv4.MessageType{
		dhcpv4.MessageTypeDiscover: dhcpv4.MessageTypeOffer, dhcpv4.MessageTypeRequest: dhcpv4.MessageTypeAck,
	}
	self := net.IPv4(192, 168, 7, 1)
	switch {
	case reply.MessageType() != kinds[m.MessageType()]:
		t.Errorf("a %v for a %v", reply.MessageType(), m.MessageType())
	case !dhcpwire.Unspecified(reply.YourIPAddr) || reply.Options.Has(dhcpv4.OptionIPAddressLeaseTime):
		t.Error("it offers an address")
	case !reply.ServerIPAddr.Equal(self) || !reply.ServerIdentifier().Equal(self) ||
		reply.ServerHostName != self.String():
		t.Errorf("servers are %v, %v, %q", reply.ServerIPAddr, reply.ServerIdentifier(), reply.ServerHostName)
	case reply.TransactionID != m.TransactionID || !bytes.Equal(reply.ClientHWAddr, m.ClientHWAddr):
		t.Error("transaction or client differ")
	case !bytes.Equal(reply.Options.Get(dhcpv4.OptionClientMachineIdentifier), testUUID):
		t.Error("option 97 differs")
	}
}

func requested(address string) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.ParseIP(address)))
}

func from(last byte) dhcpv4.Modifier {
	return dhcpv4.WithHwAddr(net.HardwareAddr{0x52, 0x54, 0, 1, 2, last})
}

// TestLeases is a story: the messages come one after the other.
func TestLeases(t *testing.T) {
	release := dhcpv4.WithMessageType(dhcpv4.MessageTypeRelease)
	decline := dhcpv4.WithMessageType(dhcpv4.MessageTypeDecline)
	holding := func(address string) dhcpv4.Modifier { return dhcpv4.WithClientIP(net.ParseIP(address)) }
	const none, offer = dhcpv4.MessageTypeNone, dhcpv4.MessageTypeOffer
	const grant, refuse = dhcpv4.MessageTypeAck, dhcpv4.MessageTypeNak
	server := newTestServer(t, "192.168.7.100-192.168.7.101")
	for _, c := range []struct {
		name    string
		message *dhcpv4.DHCPv4
		after   time.Duration
		kind    dhcpv4.MessageType
		address string
	}{
		{"first", message(from(1)), 0, offer, "192.168.7.100"},
		{"first again", message(from(1)), 0, offer, "192.168.7.100"},
		{"first takes it", message(from(1), request, ours, requested("192.168.7.100")), 0, grant, "192.168.7.100"},
		{"second wants first's", message(from(2), requested("192.168.7.100")), 0, offer, "192.168.7.101"},
		{"second takes first's", message(from(2), request, ours, requested("192.168.7.100")), 0, refuse, ""},
		{"second takes its own", message(from(2), request, ours, requested("192.168.7.101")), 0,
			grant, "192.168.7.101"},
		{"third", message(from(3)), 0, none, ""},
		{"second renews", message(from(2), request, holding("192.168.7.101")), 0, grant, "192.168.7.101"},
		{"second finds it in use", message(from(2), decline, ours, requested("192.168.7.101")), 0, none, ""},
		{"second again", message(from(2)), 0, none, ""},
		{"first releases", message(from(1), release, ours, holding("192.168.7.100")), 0, none, ""},
		{"third again", message(from(3)), 0, offer, "192.168.7.100"},
		{"third takes another's offer", message(from(3), request, theirs, requested("192.168.7.100")), 0, none, ""},
		{"second, the offer forgotten", message(from(2)), 2 * offerTime, offer, "192.168.7.100"},
		{"fourth, no record, reboots with a lease", message(from(4), request, requested("192.168.7.101")),
			2 * leaseTime, none, ""},
		{"fourth asks for an address", message(from(4), requested("192.168.7.101")), 2 * leaseTime, offer,
			"192.168.7.101"},
		{"fourth reboots with that", message(from(4), request, requested("192.168.7.101")), 2 * leaseTime,
			grant, "192.168.7.101"},
		{"fourth reboots with another", message(from(4), request, requested("192.168.7.100")), 2 * leaseTime,
			refuse, ""},
		{"fourth reboots with one of no range", message(from(4), request, requested("192.168.7.9")),
			2 * leaseTime, refuse, ""},
		{"fifth comes from another network", message(from(5), request, requested("10.0.0.5")), 2 * leaseTime,
			refuse, ""},
		{"fifth, another server's, reboots", message(from(5), request, requested("192.168.7.9")), 2 * leaseTime,
			none, ""},
		{"fifth, another server's, rebinds", message(from(5), request, holding("192.168.7.9")), 2 * leaseTime,
			none, ""},
		{"fifth, from before a restart, renews", message(from(5), request, holding("192.168.7.100")),
			2 * leaseTime, grant, "192.168.7.100"},
		{"sixth, from before a restart, has the fifth's", message(from(6), request, holding("192.168.7.100")),
			2 * leaseTime, refuse, ""},
		{"fifth renews the fourth's", message(from(5), request, holding("192.168.7.101")), 2 * leaseTime, refuse, ""},
	} {
		reply := server.decide(c.message, portDHCP, testMoment.Add(c.after)).reply
		switch {
		case reply == nil && c.kind == none:
		case reply == nil || reply.MessageType() != c.kind:
			t.Errorf("%s: got %v, want %v", c.name, reply, c.kind)
		case c.address != "" && !reply.YourIPAddr.Equal(net.ParseIP(c.address)):
			t.Errorf("%s: got %v, want %s", c.name, reply.YourIPAddr, c.address)
		}
	}
}

func TestLeaseForBootClient(t *testing.T) {
	server := newTestServer(t, "192.168.7.100-192.168.7.101")
	for _, c := range []struct {
		class string
		arch  iana.Arch
		file  string
		reply string // class of the reply
	}{
		{"PXEClient", 7, "pxe-uefi.efi", ""},
		{"HTTPClient", 16, "http://192.168.7.1:8080/pxe-uefi.efi", "HTTPClient"},
		{"PXEClient", 11, "", ""},
	} {
		reply := server.decide(message(booting(c.class, c.arch)), portDHCP, testMoment).reply
		if reply.BootFileName != c.file || reply.ClassIdentifier() != c.reply ||
			dhcpwire.Unspecified(reply.YourIPAddr) {
			t.Errorf("%s %d: got file %q, class %q, address %v",
				c.class, c.arch, reply.BootFileName, reply.ClassIdentifier(), reply.YourIPAddr)
		}
	}
}

func TestParseRange(t *testing.T) {
	for text, good := range map[string]bool{
		"192.168.7.100-192.168.7.200":   true,
		"192.168.7.9 - 192.168.7.9":     true,
		"192.168.7.100":                 false,
		"192.168.7.200-192.168.7.100":   false,
		"192.168.8.100-192.168.8.200":   false,
		"192.168.7.0-192.168.7.10":      false,
		"192.168.7.100-192.168.7.255":   false,
		"192.168.7.100-fe80::1":         false,
		"192.168.7.100-192.168.7.200-1": false,
	} {
		if _, err := parseRange(text, testSite.address); (err == nil) != good {
			t.Errorf("%s: got error %v", text, err)
		}
	}
}

func TestDestination(t *testing.T) {
	broadcast := netip.MustParseAddrPort("255.255.255.255:68")
	peer := netip.MustParseAddrPort("192.168.7.9:4011")
	holding := dhcpv4.WithClientIP(net.IPv4(192, 168, 7, 9))
	ack, nak := dhcpv4.MessageTypeAck, dhcpv4.MessageTypeNak
	for _, c := range []struct {
		name    string
		message *dhcpv4.DHCPv4
		port    int
		kind    dhcpv4.MessageType
		want    netip.AddrPort
	}{
		{"new client", message(), portDHCP, ack, broadcast},
		{"client with an address", message(holding), portDHCP, ack, netip.MustParseAddrPort("192.168.7.9:68")},
		{"refused client", message(holding), portDHCP, nak, broadcast},
		{"boot client on 4011", message(holding), portProxy, ack, peer},
	} {
		reply := testSite.reply(c.message, c.kind)
		if got := destination(incoming{DHCPv4: c.message, port: c.port, from: peer}, reply); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestPatience(t *testing.T) {
	p := patience{}
	pxe := booting("PXEClient", 0)
	for i, c := range []struct {
		message *dhcpv4.DHCPv4
		seconds int
		over    bool
	}{
		{message(pxe), 0, false}, {message(pxe), 4, false}, {message(pxe), 12, false},
		{message(pxe, request, theirs), 13, false}, // it got one
		{message(pxe), 14, false}, {message(pxe), 18, false}, {message(pxe), 26, false},
		{message(pxe), 42, true}, {message(pxe), 43, false},
		{message(pxe), 200, false}, {message(), 201, false},
	} {
		if got := p.isOver(c.message, testMoment.Add(time.Duration(c.seconds)*time.Second)); got != c.over {
			t.Errorf("message %d: got %v", i, got)
		}
	}
}

func TestSeesRival(t *testing.T) {
	server, proxy := newTestServer(t, "192.168.7.100-192.168.7.101"), newTestServer(t, "")
	for i, c := range []struct {
		message *dhcpv4.DHCPv4
		want    bool
	}{
		{message(), false}, {message(request, ours), false}, {message(request), false}, {message(theirs), false},
		{message(request, theirs), true}, {message(request, theirs), false},
	} {
		if got := server.seesRival(c.message); got != c.want || proxy.seesRival(c.message) {
			t.Errorf("message %d: got %v", i, got)
		}
	}
}

func FuzzDecide(f *testing.F) {
	for _, m := range []*dhcpv4.DHCPv4{
		message(), message(booting("PXEClient:Arch:00000:UNDI:002001", 0)), message(booting("HTTPClient", 16), request),
		message(booting("PXEClient", 7), ipxe, request, with(optionIPXE, 19, 1, 1)),
		message(request, requested("192.168.7.100")),
	} {
		f.Add(m.ToBytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := dhcpv4.FromBytes(data)
		if err != nil {
			return
		}
		for _, addresses := range []string{"", "192.168.7.100-192.168.7.101"} {
			for _, port := range []int{portDHCP, portProxy} {
				server := newTestServer(t, addresses)
				reply := server.decide(m, port, testMoment).reply
				server.waiting.isOver(m, testMoment)
				server.seesRival(m)
				if reply == nil {
					continue
				}
				again, err := dhcpv4.FromBytes(reply.ToBytes())
				if err != nil {
					t.Fatalf("the reply cannot be read: %v", err)
				}
				address := dhcpwire.ToAddr(again.YourIPAddr)
				if again.OpCode != dhcpv4.OpcodeBootReply ||
					!address.IsUnspecified() && !(server.pool != nil && server.pool.contains(address)) {
					t.Fatalf("odd reply %s", again.Summary())
				}
			}
		}
	})
}
