package config

import (
	"fmt"
	"strings"
	"testing"
)

func config(t *testing.T, text string) Config {
	t.Helper()
	f := Parse("f", []byte(text))
	for _, p := range f.Problems {
		t.Fatal(p)
	}
	return f.Config
}

// TestMerge checks what counts of several sources, and what is said of where it came from.
func TestMerge(t *testing.T) {
	m := Merge(
		Layer{Source: "command line", Config: ParseCommandLine("zerodisc.hostname=first ip=dhcp").Config},
		Layer{Source: "volume", Config: config(t, "hostname: second\ntimezone: Asia/Tokyo\n"+
			"dns: {servers: []}\n"+
			"network: {bridges: {xenbr0: {ipv4: {method: static, addresses: [192.0.2.5/24]}, mtu: 1400}}}")},
		Layer{Source: "disc", Config: config(t, "timezone: Europe/Berlin\nautostart: no\n"+
			"dns: {servers: [192.0.2.1], search: [a.b]}\n"+
			"guests: {web: {memory: 1G, network: {inbound: [{protocol: tcp, ports: 22}]}}}\nnetwork: {bridges: "+
			"{lan:}}\n"+
			"password-hash: $5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5")},
	)
	var list []string
	for _, s := range m.Settings {
		list = append(list, fmt.Sprintf("%s=%s (%s)", s.Key, s.Value, s.Source))
	}
	want := `hostname=first (command line)
timezone=Asia/Tokyo (volume)
password-hash=(secret) (disc)
autostart=no (disc)
dns.servers=[] (volume)
dns.search=[a.b] (disc)
network.bridges.lan= (disc)
network.bridges.xenbr0.mtu=1400 (volume)
network.bridges.xenbr0.ipv4.method=dhcp (command line)
network.bridges.xenbr0.ipv4.addresses=[192.0.2.5/24] (volume)
guests.web.memory=1G (disc)
guests.web.network.inbound=[{protocol: tcp, ports: 22}] (disc)`
	if got := strings.Join(list, "\n"); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	// ip=dhcp on the command line beats the static address below it, which then is no address.
	const clash = "the method is dhcp; addresses are left out"
	if problems := fmt.Sprint(Validate(&m.Config)); !strings.Contains(problems, clash) {
		t.Error(problems)
	}
	b := m.Config.Network.Bridges["xenbr0"]
	if b.MethodOf4(true) != "dhcp" || b.MTU != 1400 || len(b.IPv4.Addresses) > 0 {
		t.Errorf("%+v", b)
	}
}

// TestMergeValid leaves out of the settings what is not used.
func TestMergeValid(t *testing.T) {
	m, problems := MergeValid(
		Layer{Source: "a", Config: config(t,
			"network: {bridges: {bad: {vlan: 5}, lan: {mtu: 1400}, x: {private: {nat: no}}}}")},
		Layer{Source: "b", Config: config(t, "hostname: h")})
	want := "[{hostname h b} {network.bridges.lan.mtu 1400 a} {network.bridges.x  a}]"
	if got := fmt.Sprint(m.Settings); got != want || len(problems) != 2 {
		t.Errorf("%s, %v\nwant %s", got, problems, want)
	}
}

// TestLocate finds the place of what does not fit together: in the one source that says it, as far as there is one.
func TestLocate(t *testing.T) {
	const static = "network:\n  bridges:\n    xenbr0:\n" +
		"      ipv4: {method: static, addresses: [192.0.2.1/24], gateway: 192.0.2.1}\n"
	for _, test := range []struct {
		line  string
		files []string
		want  string
	}{
		{"", []string{static}, "f0:4:30: network.bridges.xenbr0.ipv4.addresses: 192.0.2.1 is the gateway's address"},
		{"", []string{"hostname: a\n", "\n" + static}, "f1:5:30: network.bridges.xenbr0.ipv4.addresses: "},
		{
			"ip=192.0.2.1:::24", []string{"network: {bridges: {xenbr0: {ipv4: {gateway: 192.0.2.1}}}}"},
			"kernel command line: network.bridges.xenbr0.ipv4.addresses: 192.0.2.1 is the gateway's address",
		},
		{
			"", []string{"network: {bridges: {a: {mtu: 1400}}}", "network: {bridges: {a: {nic: a}}}"},
			"f1:1:25: network.bridges.a.nic",
		},
		{
			"", []string{"network: {bonds: {a: {mode: 802.3ad}}}", "network: {bonds: {a: {mtu: 1400}}}"},
			"network.bonds.a: it has no network card",
		},
	} {
		layers := []Layer{{Source: CommandLineSource, Config: ParseCommandLine(test.line).Config}}
		for i, text := range test.files {
			layers = append(layers, Parse(fmt.Sprint("f", i), []byte(text)).Layer())
		}
		_, problems := MergeValid(layers...)
		if len(problems) != 1 || !strings.HasPrefix(problems[0].Error(), test.want) {
			t.Errorf("%s %q: %v\nwant %s", test.line, test.files, problems, test.want)
		}
	}
}

// TestValidate checks what people are told of keys that do not fit together, and that it is taken out.
func TestValidate(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{
			"network: {bridges: {a: {nic: eth0}, b: {nic: eth0}}}",
			"f:1:41: network.bridges.b.nic: eth0 is in two places; the bridge is left out (in network.bridges.a.nic " +
				"already)",
		},
		{"network: {bridges: {a: {nic: eth0, vlan: 5}, b: {nic: eth0, vlan: 5}}}", "VLAN 5 of eth0 is on two bridges"},
		{
			"network: {bridges: {xenbr0: {ipv6: {method: static, " +
				"addresses: [\"2001:db8::1/64\", \"2001:db8::2/64\"], gateway: \"2001:db8::1\"}}}}",
			"2001:db8::1 is the gateway's address; it is left out: give this machine an address of its own",
		},
		{"network: {bridges: {a: {vlan: 5}}}", "there is no nic for the VLAN"},
		{"network: {bridges: {a: {nic: a}}}", "the same name as its network card"},
		{"network: {bonds: {a: {nics: [eth0]}}, bridges: {b: {nic: eth0}}}", "eth0 is in two places"},
		{"network: {bonds: {a: {nics: [eth0]}}, bridges: {b: {nic: eth0, vlan: 2}}}", "eth0 belongs to a bond"},
		{"network: {bonds: {a: {nics: [eth0]}, b: {nics: [eth0, eth1]}}}", "network.bonds.b.nics: eth0 is in two"},
		{"network: {bonds: {a: {nics: [eth0]}}, bridges: {a: }}", "a bridge has the same name"},
		{"network: {bridges: {a: {ipv4: {method: static}}}}", "the method is static, and there are no"},
		{"network: {bridges: {a: {ipv4: {gateway: 192.0.2.1}}}}", "there are no addresses for it"},
		{
			"network: {bridges: {a: {ipv4: {addresses: [192.0.2.5/24], gateway: 10.0.0.1}}}}",
			"10.0.0.1 is in no network",
		},
		{
			"network: {bridges: {a: {ipv4: {addresses: [192.0.2.5/24], gateway: 192.0.2.1}}, b: {ipv4: {addresses: " +
				"[192.0.2.6/24], gateway: 192.0.2.1}}}}",
			"there is another gateway",
		},
		{
			"network: {bridges: {a: {ipv4: {addresses: [192.0.2.5/24]}}, b: {ipv4: {addresses: [192.0.2.5/24]}}}}",
			"192.0.2.5 is given twice",
		},
		{"network: {bridges: {a: {private: {nat: no}}}}", "address is missing"},
		{"network: {bridges: {a: {nic: e, private: {address: 10.0.0.1/24}}}}", "the bridge has a nic"},
		{"network: {bridges: {a: {private: {address: 10.0.0.1/31}}}}", "no room for guests"},
		{
			"network: {bridges: {a: {ipv4: {method: dhcp}, private: {address: 10.0.0.1/24}}}}",
			"has ipv4 addresses of its own",
		},
		{
			"network: {bridges: {a: {private: {address: 10.0.0.1/24, range: 10.0.1.5-10.0.1.9}}}}",
			"is not within 10.0.0.0/24",
		},
		{
			"network: {bridges: {a: {private: {address: 10.0.0.1/16}}, b: {private: {address: 10.0.5.1/24}}}}",
			"10.0.5.1/24 overlaps with 10.0.0.0/16",
		},
		{"guests: {w: {network: {bridge: lan}}}\nnetwork: {bridges: {lam: }}", `no bridge "lan"; did you mean lam?`},
		{
			"guests: {v: {network: {mac: 52:54:00:00:00:01}}, w: {network: {mac: 52:54:00:00:00:01}}}",
			"guests.w.network.mac: 52:54:00:00:00:01 is given twice",
		},
		{
			"guests: {v: {network: {address: 192.0.2.7}}, w: {network: {address: 192.0.2.7}}}",
			"192.0.2.7 is given twice",
		},
		{
			"guests: {v: {network: {address: 192.0.2.7}}, w: {network: {addresses: [192.0.2.8, 192.0.2.7]}}}",
			"guests.w.network.addresses: 192.0.2.7 is given twice",
		},
		{
			"guests: {w: {network: {bridge: a, address: 192.0.2.7}}}\nnetwork: {bridges: {a: {private: {address: " +
				"10.0.0.1/24}}}}",
			"192.0.2.7 is not in the network of bridge a, 10.0.0.0/24",
		},
		{"guests: {w: {network: {inbound: [{protocol: icmp, ports: 5}]}}}", "icmp has no ports"},
		{
			"guests: {w: {network: {bridge: a, vlan: 5}}}\nnetwork: {bridges: {a: {private: {address: 10.0.0.1/24}}}}",
			"bridge a is private, and has no VLANs",
		},
		{"network: {bridges: {a: {ipv4: {method: dhcp}}}}", "f:1:32: network.bridges.a.ipv4.method: there is no nic"},
		{"network: {bridges: {xenbr0: {nic: none, vlan: 5}}}", "there is no nic for the VLAN"},
		{"network: {bridges: {xenbr0: {mtu: 1000}}}", "IPv6 needs 1280"},
		{"network: {bridges: {a: {private: {address: 10.0.0.1/7}}}}", "or too much"},
		{
			"network: {bridges: {a: {nic: e, routes: [{to: 10.0.0.0/8, via: \"2001:db8::1\"}]}}}",
			"2001:db8::1 cannot be the gateway to 10.0.0.0/8",
		},
		{
			"stores: {urls: [{url: \"nfs://a/b\", sha256: " + strings.Repeat("0", 64) + "}]}",
			"nfs://a/b has no SHA256SUMS",
		},
	} {
		text, want := test.text, test.want
		f := Parse("f", []byte(text))
		if got := fmt.Sprint(f.Check()); !strings.Contains(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", text, got, want)
		}
		c := f.Config
		Validate(&c)
		if again := Validate(&c); len(again) > 0 {
			t.Errorf("%s: it is not taken out: %v", text, again)
		}
	}
}

// What is left without the network is as if nobody had written that.
func TestDropNetwork(t *testing.T) {
	const text = "network: {bridges: {lan: {private: {address: 10.0.0.1/24}}}}\ndns: {servers: [192.0.2.53]}\n" +
		"guests: {a: {memory: 1G, network: {rate: 1Mbit/s}}, b: {network: {isolated: yes}}}\nhostname: h\n"
	c := Parse("f", []byte(text)).Config
	c.DropNetwork()
	var list []string
	for _, s := range Merge(Layer{Config: c}).Settings {
		list = append(list, s.Key+"="+s.Value)
	}
	if got := strings.Join(list, " "); got != "hostname=h guests.a.memory=1G" {
		t.Error(got)
	}
}
