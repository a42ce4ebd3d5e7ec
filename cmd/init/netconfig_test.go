package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/docs"
	"github.com/zerodisc/zerodisc/internal/config"
	"github.com/zerodisc/zerodisc/internal/netcfg"
)

// read returns what a zerodisc.yaml without faults says.
func read(t *testing.T, text string) *config.Config {
	t.Helper()
	f := config.Parse("f", []byte(text))
	for _, p := range append(f.Problems, config.Validate(&f.Config)...) {
		t.Errorf("%s: %v", text, p)
	}
	return &f.Config
}

func TestNetworkOf(t *testing.T) {
	const auto = "{NIC:auto IPv4:2 IPv6:2}"
	for _, test := range []struct{ text, want string }{
		{"hostname: a", "xenbr0 " + auto},
		{"network: {default-bridge: br7}", "br7 " + auto},
		{"network: {bridges: {a: , xenbr0: }}", "xenbr0 " + auto + " a {NIC:none}"},
		{"network: {bridges: {xenbr0: {nic: none}}}", "xenbr0 {NIC:none}"},
		{
			"network: {bridges: {xenbr0: {private: {address: 10.0.0.1/24}}, lan: {nic: auto, ipv4: {method: dhcp}}}}",
			"xenbr0 {NIC:none} lan {NIC:auto IPv4:2}",
		},
		{
			"network: {bridges: {xenbr0: {nic: eth1, mac: \"52:54:00:00:00:01\", mtu: 1400, ipv4: {addresses: " +
				"[192.0.2.5/24], gateway: 192.0.2.1}, routes: [{to: 198.51.100.0/24, via: 192.0.2.9}]}}}",
			"xenbr0 {NIC:eth1 MAC:52:54:00:00:00:01 MTU:1400 IPv4:1 [192.0.2.5/24] 192.0.2.1 IPv6:2 " +
				"198.51.100.0/24 via 192.0.2.9}",
		},
		{
			"network: {bridges: {dmz: {nic: eth0, vlan: 20, ipv6: {addresses: [\"2001:db8::5/64\"]}}}}",
			"xenbr0 " + auto + " dmz {NIC:eth0 VLAN:20 IPv6:1 [2001:db8::5/64]}",
		},
		{
			"network: {bonds: {b: {nics: [eth0, eth1], options: {miimon: 50, arp_ip_target: " +
				"\"192.0.2.1,192.0.2.2\"}}}, bridges: {xenbr0: {nic: b}}}",
			"bond b [eth0 eth1] mode=active-backup,arp_ip_target=192.0.2.1;192.0.2.2,miimon=50 " +
				"xenbr0 {NIC:b IPv4:2 IPv6:2}",
		},
		{"dns: {servers: [192.0.2.53], search: [a.example]}", "DNS [192.0.2.53] [a.example] xenbr0 " + auto},
		{
			"network: {bonds: {b: {nics: [eth0], options: {miimon: soon}}}}",
			`network.bonds.b: bond b: miimon="soon": want a number; it is left out xenbr0 ` + auto,
		},
		{ // an address that cannot be is no reason to be without network
			"network: {bridges: {xenbr0: {ipv4: {addresses: [240.0.0.5/24]}}}}",
			"network.bridges.xenbr0: interface xenbr0: IPv4: 240.0.0.5/24 cannot be a host's address; " +
				"it is left out xenbr0 " + auto,
		},
	} {
		network, problems := networkOf(read(t, test.text))
		if err := network.Check(); err != nil {
			t.Errorf("%s: %v", test.text, err)
		}
		var words []string
		for _, p := range problems {
			words = append(words, p.Key+": "+p.Text)
		}
		words = append(words, describe(network)...)
		if got := strings.Join(words, " "); got != test.want {
			t.Errorf("%s:\n%s\nwant\n%s", test.text, got, test.want)
		}
	}
}

// describe writes what is not zero of a network.
func describe(n netcfg.Network) (words []string) {
	if len(n.DNS) > 0 {
		words = append(words, fmt.Sprint("DNS ", n.DNS, " ", n.Search))
	}
	for _, b := range n.Bonds {
		words = append(words, fmt.Sprint("bond ", b.Name, " ", b.Members, " ", b.Options))
	}
	for _, i := range n.Interfaces {
		parts := []string{"NIC:" + i.NIC}
		add := func(given bool, text ...any) {
			if given {
				parts = append(parts, fmt.Sprint(text...))
			}
		}
		add(i.VLAN != 0, "VLAN:", i.VLAN)
		add(i.MAC != nil, "MAC:", i.MAC)
		add(i.MTU != 0, "MTU:", i.MTU)
		add(i.IPv4.Method != 0, "IPv4:", int(i.IPv4.Method))
		add(i.IPv4.Addresses != nil, i.IPv4.Addresses)
		add(i.IPv4.Gateway.IsValid(), i.IPv4.Gateway)
		add(i.IPv6.Method != 0, "IPv6:", int(i.IPv6.Method))
		add(i.IPv6.Addresses != nil, i.IPv6.Addresses)
		for _, r := range i.Routes {
			add(true, r)
		}
		words = append(words, i.Bridge+" {"+strings.Join(parts, " ")+"}")
	}
	return words
}

func TestPrivateNetworksOf(t *testing.T) {
	c := read(t, "network: {bridges: {lan: {private: {address: 10.11.0.1/24, range: 10.11.0.100-10.11.0.200, nat: no, "+
		"domain: lan.internal}}, open: {private: {address: 10.12.0.1/24, dns: no}}, other: }}\n"+
		"guests: {web: {network: {bridge: lan, address: 10.11.0.10}}, db: {network: {address: 192.0.2.7}}}")
	all := privateNetworksOf(c)
	if len(all) != 2 {
		t.Fatalf("%+v", all)
	}
	lan, open := all[0], all[1]
	if lan.Bridge != "lan" || lan.First.String() != "10.11.0.100" || lan.Last.String() != "10.11.0.200" || !lan.NoNAT ||
		lan.NoDNS || lan.Domain != "lan.internal" || fmt.Sprint(lan.Reserved) != "[10.11.0.10]" {
		t.Errorf("%+v", lan)
	}
	if open.NoNAT || !open.NoDNS || open.First.IsValid() || open.Reserved != nil {
		t.Errorf("%+v", open)
	}
}

func TestFallbacksOf(t *testing.T) {
	for text, want := range map[string]string{
		"hostname: a":                                                      "xenbr0",
		"network: {fallback: no}":                                          "",
		"network: {bridges: {xenbr0: {nic: none}}}":                        "",
		"network: {bridges: {xenbr0: {ipv4: {method: none}}}}":             "",
		"network: {bridges: {xenbr0: {ipv4: {addresses: [10.0.0.5/24]}}}}": "",
		"network: {bridges: {xenbr0: {private: {address: 10.0.0.1/24}}}}":  "",
		"network: {bridges: {xenbr0: {nic: eth1}}}":                        "xenbr0",
		"network: {bridges: {dmz: {nic: eth1, ipv4: {method: dhcp}}}}":     "xenbr0 dmz(closed)",
		"network: {bridges: {dmz: {nic: eth1}}}":                           "xenbr0",
	} {
		var words []string
		for _, o := range fallbacksOf(read(t, text)) {
			words = append(words, o.Bridge+map[bool]string{true: "(closed)"}[o.NoNAT])
		}
		if got := strings.Join(words, " "); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestSameNetworks(t *testing.T) {
	const base = "network: {bridges: {lan: {private: {address: 10.11.0.1/24}}}}"
	for text, want := range map[string]bool{
		base:                   true,
		base + "\nhostname: b": true,
		base + "\nguests: {a: {network: {bridge: lan, rate: 1MB/s}}}":                 true,
		base + "\nguests: {a: {network: {address: 10.11.0.5}}}":                       false,
		base + "\ndns: {servers: [192.0.2.53]}":                                       false,
		"network: {bridges: {lan: }}":                                                 false,
		"network: {fallback: no, bridges: {lan: {private: {address: 10.11.0.1/24}}}}": false,
	} {
		if got := sameNetworks(read(t, base), read(t, text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestNameServers(t *testing.T) {
	text := "search lan\nnameserver 192.0.2.1\n# nameserver 192.0.2.2\nnameserver fe80::1%xenbr0\n" +
		"nameserver x\nnameserver\n"
	want := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("fe80::1")}
	if got := nameServers(text); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestDocumentedNetworks has the networks of all examples in docs made, as far as that needs no machine.
func TestDocumentedNetworks(t *testing.T) {
	for _, file := range docs.Of(t, "configuration") {
		checkNetwork(t, file.Text, read(t, file.Text))
	}
	for _, line := range docs.Of(t, "command line") {
		c := config.ParseCommandLine(line.Text)
		checkNetwork(t, line.Text, &c.Config)
	}
}

// checkNetwork says what of a configuration's networks cannot be made.
func checkNetwork(t *testing.T, text string, c *config.Config) {
	t.Helper()
	network, problems := networkOf(c)
	for _, p := range problems {
		t.Errorf("%v in\n%s", p, text)
	}
	if err := network.Check(); err != nil {
		t.Errorf("%v in\n%s", err, text)
	}
	for _, o := range append(privateNetworksOf(c), fallbacksOf(c)...) {
		if !slices.Contains(network.Bridges(), o.Bridge) {
			t.Errorf("a private network on %s, which there is not, in\n%s", o.Bridge, text)
		}
	}
	for name, guest := range c.Guests {
		if err := guestRules(guest.Network).Check(); err != nil {
			t.Errorf("guest %s: %v in\n%s", name, err, text)
		}
	}
}
