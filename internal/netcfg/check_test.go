package netcfg

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	prefixes := func(texts ...string) []netip.Prefix {
		var all []netip.Prefix
		for _, text := range texts {
			all = append(all, netip.MustParsePrefix(text))
		}
		return all
	}
	with := func(change func(*Interface)) Network {
		network := DefaultNetwork("xenbr0")
		change(&network.Interfaces[0])
		return network
	}
	fixed := func(addresses []netip.Prefix, gateway string) Network {
		return with(func(i *Interface) {
			i.IPv4 = IPv4{Method: Static, Addresses: addresses}
			if gateway != "" {
				i.IPv4.Gateway = netip.MustParseAddr(gateway)
			}
		})
	}
	two := func(first, second Interface) Network { return Network{Interfaces: []Interface{first, second}} }
	bonded := func(bonds ...Bond) Network {
		network := DefaultNetwork("xenbr0")
		network.Bonds = bonds
		return network
	}
	bond := func(options string) Bond { return Bond{Name: "b", Members: []string{"e"}, Options: options} }
	tests := map[string]struct {
		network Network
		want    string // of the error; empty: none
	}{
		"default":           {DefaultNetwork("xenbr0"), ""},
		"a NIC itself":      {DirectNetwork("eth0"), ""},
		"space in a name":   {DefaultNetwork("xen br"), "no name of an interface"},
		"name too long":     {DefaultNetwork("abcdefghijklmnop"), "1 to 15 characters"},
		"name of settings":  {DefaultNetwork("all"), "another meaning"},
		"no NIC":            {with(func(i *Interface) { i.NIC = "" }), "give auto, none"},
		"VLAN too high":     {with(func(i *Interface) { i.VLAN = 4095 }), "VLAN 4095: want 1 to 4094"},
		"VLAN on nothing":   {with(func(i *Interface) { i.NIC, i.VLAN = NoNIC, 5 }), "VLAN 5 without a NIC"},
		"DHCP on nothing":   {with(func(i *Interface) { i.NIC = NoNIC }), "nobody gives addresses"},
		"small MTU":         {with(func(i *Interface) { i.MTU = 1000 }), "MTU 1000: want 1280 to 65535"},
		"static":            {fixed(prefixes("192.0.2.5/24"), "192.0.2.1"), ""},
		"gateway elsewhere": {fixed(prefixes("192.0.2.5/32"), "203.0.113.1"), ""},
		"no address":        {fixed(nil, "192.0.2.1"), "IPv4: no address"},
		"wrong family":      {fixed(prefixes("2001:db8::1/64"), ""), "cannot be a host's address"},
		"multicast":         {fixed(prefixes("224.0.0.1/24"), ""), "cannot be a host's address"},
		"gateway's family":  {fixed(prefixes("192.0.2.5/24"), "2001:db8::1"), "cannot be a gateway"},
		"route": {with(func(i *Interface) {
			i.Routes = []Route{{Destination: prefixes("198.51.100.0/24")[0], Gateway: router1}}
		}), ""},
		"route to a host's network": {with(func(i *Interface) {
			i.Routes = []Route{{Destination: prefixes("198.51.100.1/24")[0], Gateway: router1}}
		}), "want the address of a network"},
		"route of two families": {with(func(i *Interface) {
			i.Routes = []Route{{Destination: prefixes("2001:db8::/64")[0], Gateway: router1}}
		}), "cannot be its gateway"},
		"MAC of a group": {with(func(i *Interface) { i.MAC = net.HardwareAddr{1, 2, 3, 4, 5, 6} }), "one machine"},
		"MAC of no bridge": {with(func(i *Interface) {
			i.Bridge, i.MAC = "", net.HardwareAddr{2, 2, 3, 4, 5, 6}
		}), "for a bridge"},
		"own gateway": {fixed(prefixes("192.0.2.5/24"), "192.0.2.5"), "own address"},
		"address of DHCP": {with(func(i *Interface) { i.IPv4.Addresses = prefixes("192.0.2.5/24") }),
			"belong to the method static"},
		"bridge twice": {two(Interface{Bridge: "a", NIC: "eth0"}, Interface{Bridge: "a", NIC: "eth1"}),
			"the name a is used"},
		"NIC twice": {two(Interface{Bridge: "a", NIC: "eth0"}, Interface{Bridge: "b", NIC: "eth0"}),
			"NIC eth0 is used by interface a"},
		"NIC and a VLAN on it": {
			two(Interface{Bridge: "a", NIC: "eth0"}, Interface{Bridge: "b", NIC: "eth0", VLAN: 5}), "",
		},
		"address twice": {two(static("a", "eth0", "192.0.2.5/24"), static("b", "eth1", "192.0.2.5/25")),
			"address 192.0.2.5 is used by interface a already"},
		"bond":            {bonded(bond("mode=802.3ad,miimon=100")), ""},
		"bond by number":  {bonded(bond("mode=4")), ""},
		"bond of nothing": {bonded(Bond{Name: "bond0"}), "name at least one NIC"},
		"unknown option":  {bonded(bond("mood=1")), `no option is called "mood"`},
		"unknown mode":    {bonded(bond("mode=fast")), "want one of 802.3ad, active-backup"},
		"no number":       {bonded(bond("miimon=often")), "want a number"},
		"NIC in two bonds": {
			bonded(bond(""), Bond{Name: "c", Members: []string{"e"}}), "NIC e is used by bond b",
		},
	}
	for name, test := range tests {
		err := test.network.Check()
		got := fmt.Sprint(err)
		if test.want == "" && err != nil || test.want != "" && !strings.Contains(got, test.want) {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

func TestParseBond(t *testing.T) {
	bond := must(parseBond(Bond{
		Name: "bond0", MTU: 9000,
		Options: "mode=802.3ad,miimon=50, lacp_rate=fast,xmit_hash_policy=layer3+4,arp_ip_target=192.0.2.1;192.0.2.2",
	}))(t)
	if bond.Mode.String() != "802.3ad" || bond.Miimon != 50 || bond.LacpRate.String() != "fast" || bond.MTU != 9000 ||
		bond.XmitHashPolicy.String() != "layer3+4" || len(bond.ArpIpTargets) != 2 {
		t.Errorf("got %+v", bond)
	}
	if plain := must(parseBond(Bond{Name: "bond0"}))(t); plain.Mode.String() != "balance-rr" || plain.Miimon != 100 {
		t.Errorf("without options: mode %s, miimon %d", plain.Mode, plain.Miimon)
	}
	if watched := must(parseBond(Bond{Name: "bond0", Options: "arp_interval=1000"}))(t); watched.Miimon != -1 {
		t.Errorf("with arp_interval: miimon %d", watched.Miimon)
	}
}
