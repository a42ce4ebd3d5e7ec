package netcfg

import (
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// ack builds an ACK of 192.0.2.50/24 from 192.0.2.1 with further options.
func ack(options ...dhcpv4.Option) *dhcpv4.DHCPv4 {
	message, _ := dhcpv4.New(
		dhcpv4.WithMessageType(dhcpv4.MessageTypeAck),
		dhcpv4.WithYourIP(net.IPv4(192, 0, 2, 50)),
		dhcpv4.WithNetmask(net.CIDRMask(24, 32)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(192, 0, 2, 1))))
	message.OpCode = dhcpv4.OpcodeBootReply
	for _, option := range options {
		message.UpdateOption(option)
	}
	return message
}

func raw(code uint8, value ...byte) dhcpv4.Option {
	return dhcpv4.OptGeneric(dhcpv4.GenericOptionCode(code), value)
}

func parse(t *testing.T, message *dhcpv4.DHCPv4) *Lease {
	t.Helper()
	return must(ParseLease(message, time.Time{}, 0))(t)
}

var (
	anywhere = netip.MustParsePrefix("0.0.0.0/0")
	router1  = netip.MustParseAddr("192.0.2.1")
	router2  = netip.MustParseAddr("192.0.2.2")
	far      = netip.MustParseAddr("203.0.113.1")
)

func TestLeaseRoutes(t *testing.T) {
	tests := map[string]struct {
		options []dhcpv4.Option
		want    []Route
	}{
		"none": {},
		"routers": {
			[]dhcpv4.Option{raw(3, 192, 0, 2, 1, 192, 0, 2, 2, 192, 0, 2, 1)},
			[]Route{{Destination: anywhere, Gateway: router1}, {Destination: anywhere, Gateway: router2, Metric: 1}},
		},
		"router outside of the subnet": {
			[]dhcpv4.Option{raw(3, 203, 0, 113, 1)},
			[]Route{{Destination: anywhere, Gateway: far, OnLink: true}},
		},
		"classless routes replace routers": {
			[]dhcpv4.Option{raw(3, 192, 0, 2, 2), raw(121, 24, 198, 51, 100, 192, 0, 2, 2, 0, 192, 0, 2, 1)},
			[]Route{
				{Destination: netip.MustParsePrefix("198.51.100.0/24"), Gateway: router2},
				{Destination: anywhere, Gateway: router1},
			},
		},
		"classless route on the link, bits outside of the mask": {
			[]dhcpv4.Option{raw(121, 20, 203, 0, 0x7f, 0, 0, 0, 0, 0, 203, 0, 113, 1)},
			[]Route{
				{Destination: netip.MustParsePrefix("203.0.112.0/20")},
				{Destination: anywhere, Gateway: far, OnLink: true},
			},
		},
		"the subnet's own route is the kernel's": {
			[]dhcpv4.Option{raw(121, 24, 192, 0, 2, 0, 0, 0, 0)}, nil,
		},
		"broken classless routes leave the routers": {
			[]dhcpv4.Option{raw(3, 192, 0, 2, 1), raw(121, 33, 1, 2, 3)},
			[]Route{{Destination: anywhere, Gateway: router1}},
		},
		"the host itself": {
			[]dhcpv4.Option{raw(3, 192, 0, 2, 50, 192, 0, 2, 2)},
			[]Route{{Destination: anywhere, Gateway: router2}},
		},
		"nonsense": {[]dhcpv4.Option{raw(3, 0, 0, 0, 0, 255, 255, 255, 255, 127, 0, 0, 1)}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := parse(t, ack(test.options...)).Routes; !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestLeaseOptions(t *testing.T) {
	type list = []dhcpv4.Option
	name, domain := dhcpv4.OptHostName, dhcpv4.OptDomainName
	broadcast := func(l *Lease) any { return l.Broadcast.String() }
	mtu := func(l *Lease) any { return l.MTU }
	hostname := func(l *Lease) any { return l.Hostname }
	ntp := func(l *Lease) any { return l.services().TimeServers() }
	search := func(l *Lease) any { return strings.Join(l.Search, ",") }
	tests := map[string]struct {
		options list
		got     func(*Lease) any
		want    any
	}{
		"broadcast computed":      {nil, broadcast, "192.0.2.255"},
		"broadcast given":         {list{raw(28, 192, 0, 2, 0)}, broadcast, "192.0.2.0"},
		"broadcast elsewhere":     {list{raw(28, 10, 0, 0, 255)}, broadcast, "192.0.2.255"},
		"no broadcast in a /32":   {list{raw(1, 255, 255, 255, 255)}, broadcast, "invalid IP"},
		"MTU":                     {list{raw(26, 0x23, 0x28)}, mtu, 9000},
		"MTU too small":           {list{raw(26, 0, 68)}, mtu, 0},
		"MTU of three bytes":      {list{raw(26, 5, 220, 0)}, mtu, 0},
		"host name":               {list{name("host-7.example\x00")}, hostname, "host-7.example"},
		"host name with a space":  {list{name("host 7")}, hostname, ""},
		"host name too long":      {list{name(strings.Repeat("a.", 40) + "b")}, hostname, ""},
		"domain":                  {list{domain("example.org. b.example")}, search, "example.org,b.example"},
		"domain with a line":      {list{domain("a.example\nnameserver")}, search, "a.example,nameserver"},
		"search before domain":    {list{domain("a.example"), raw(119, 1, 'b', 0, 1, 'c', 0)}, search, "b,c"},
		"search with a line feed": {list{raw(119, 3, 'b', '\n', 'x', 0, 1, 'c', 0)}, search, "c"},
		"time servers":            {list{raw(42, 192, 0, 2, 4, 0, 0, 0, 0)}, ntp, "192.0.2.4\n"},
		"no lease time":           {nil, func(l *Lease) any { return l.Times.Length }, time.Hour},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := test.got(parse(t, ack(test.options...))); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestLeaseWithoutMaskHasItsClass(t *testing.T) {
	message := ack()
	message.DeleteOption(dhcpv4.OptionSubnetMask)
	message.YourIPAddr = net.IPv4(10, 1, 2, 3)
	if got := parse(t, message).Address.String(); got != "10.1.2.3/8" {
		t.Errorf("got %s", got)
	}
}

func TestServerOf(t *testing.T) {
	message := ack()
	message.ServerIPAddr = net.IPv4(192, 0, 2, 9) // for the boot file
	if got := parse(t, message).Server; got != router1 {
		t.Errorf("with an identifier: %s", got)
	}
	message.DeleteOption(dhcpv4.OptionServerIdentifier)
	if got := parse(t, message).Server.String(); got != "192.0.2.9" {
		t.Errorf("without: %s", got)
	}
}

func TestUselessLease(t *testing.T) {
	noServer := ack()
	noServer.DeleteOption(dhcpv4.OptionServerIdentifier)
	noAddress := ack()
	noAddress.YourIPAddr = net.IPv4zero
	tests := map[string]*dhcpv4.DHCPv4{
		"no server identifier": noServer,
		"not an address":       noAddress,
		"not a prefix":         ack(raw(1, 255, 0, 255, 0)),
	}
	for want, message := range tests {
		if _, err := ParseLease(message, time.Time{}, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

// FuzzParseLease holds for any message: no panic, and what the lease says can be written out
// without adding a line that the server must not write.
func FuzzParseLease(f *testing.F) {
	f.Add(ack().ToBytes())
	f.Add(ack(raw(3, 192, 0, 2, 1), raw(119, 1, 'b', 0xc0, 0), dhcpv4.OptDomainName("a b")).ToBytes())
	f.Add(ack(raw(121, 24, 198, 51, 100, 192, 0, 2, 2, 0, 192, 0, 2, 1), raw(26, 5, 0)).ToBytes())
	f.Add(overloaded(3, []byte{3, 4, 192, 0, 2, 1, 255}, []byte{255}))
	f.Fuzz(func(t *testing.T, data []byte) {
		message, err := dhcpv4.FromBytes(unfold(data))
		if err != nil {
			return
		}
		lease, err := ParseLease(message, time.Now(), time.Second)
		if err != nil {
			return
		}
		times := lease.Times
		if times.Length != Forever && !(0 < times.T1 && times.T1 < times.T2 && times.T2 < times.Length) {
			t.Errorf("times %+v", times)
		}
		for line := range strings.Lines(lease.services().ResolvConf()) {
			if first, _, _ := strings.Cut(line, " "); !slices.Contains([]string{"#", "search", "nameserver"}, first) {
				t.Errorf("resolv.conf has line %q", line)
			}
		}
		Plan(Installed{}, Config{}, lease.config())
		Plan(installed(lease), lease.config(), Config{})
		isOffer(message)
		isVerdictOf(lease.Server)(message)
		inherit(ack(), message)
		lease.Times.At(time.Now())
	})
}
