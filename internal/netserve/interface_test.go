package netserve

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
)

func TestChoose(t *testing.T) {
	address := netip.MustParsePrefix("192.168.7.1/24")
	lo := iface{Name: "lo", Address: netip.MustParsePrefix("127.0.0.1/8"), Up: true}
	eth0 := iface{Name: "eth0", Address: address, Up: true, Broadcast: true, Hardware: true}
	wlan0 := iface{Name: "wlan0", Address: address, Up: true, Broadcast: true, Hardware: true}
	docker0 := iface{Name: "docker0", Address: address, Up: true, Broadcast: true}
	bare := iface{Name: "eth1", Up: true, Broadcast: true, Hardware: true}
	down := iface{Name: "eth2", Broadcast: true, Hardware: true}
	for _, c := range []struct {
		present []iface
		name    string
		want    string   // interface
		err     []string // what the error says
	}{
		{[]iface{lo, eth0, docker0, bare, down}, "", "eth0", nil},
		{[]iface{lo, docker0}, "", "docker0", nil},
		{[]iface{lo, eth0, docker0}, "docker0", "docker0", nil},
		{[]iface{lo, eth0, wlan0, docker0}, "", "",
			[]string{"several", "eth0 (192.168.7.1/24), wlan0 (192.168.7.1/24)"}},
		{[]iface{lo, bare, down}, "", "", []string{"eth1 (no IPv4 address), eth2 (down)"}},
		{[]iface{lo}, "", "", []string{"there are none"}},
		{[]iface{lo, eth0, bare}, "eth7", "", []string{"eth7 does not exist", "eth0 (192.168.7.1/24), eth1"}},
		{[]iface{lo, bare}, "eth1", "", []string{"no IPv4 address", "ip addr add"}},
		{[]iface{lo, down}, "eth2", "", []string{"down", "ip link set eth2 up"}},
		{[]iface{lo, eth0}, "lo", "", []string{"no PC can be connected"}},
	} {
		got, err := choose(c.present, c.name)
		if got.Name != c.want || (err != nil) != (c.err != nil) {
			t.Errorf("%q of %v: got %v, %v", c.name, c.present, got, err)
		}
		for _, part := range c.err {
			if err != nil && !strings.Contains(err.Error(), part) {
				t.Errorf("%q of %v: %q is not in %q", c.name, c.present, part, err)
			}
		}
	}
}

func TestFirstIPv4(t *testing.T) {
	for _, c := range []struct{ addrs, want string }{
		{"fe80::1/64 169.254.3.4/16 192.168.7.1/24 10.0.0.1/8", "192.168.7.1/24"},
		{"fe80::1/64 169.254.3.4/16", "169.254.3.4/16"},
		{"fe80::1/64", "invalid Prefix"},
	} {
		var addrs []net.Addr
		for _, text := range strings.Fields(c.addrs) {
			ip, network, _ := net.ParseCIDR(text)
			addrs = append(addrs, &net.IPNet{IP: ip, Mask: network.Mask})
		}
		if got := firstIPv4(addrs).String(); got != c.want {
			t.Errorf("%s: got %s", c.addrs, got)
		}
	}
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		err      error
		protocol string
		port     int
		part     string
	}{
		{syscall.EADDRINUSE, "UDP", portDHCP, "dnsmasq"},
		{syscall.EADDRINUSE, "UDP", portTFTP, "tftpd-hpa"},
		{syscall.EADDRINUSE, "TCP", 8080, "name another port"},
		{syscall.EACCES, "UDP", portDHCP, "setcap cap_net_bind_service,cap_net_raw+ep"},
		{syscall.EPERM, "UDP", portDHCP, "sudo"},
		{errors.ErrUnsupported, "UDP", portDHCP, "Linux only"},
		{syscall.ENODEV, "UDP", portDHCP, "listen on UDP port 67 of eth0"},
	} {
		got := explain(c.err, c.protocol, c.port, "eth0")
		if !strings.Contains(got.Error(), c.part) || !errors.Is(got, c.err) {
			t.Errorf("%v: got %q", c.err, got)
		}
	}
}
