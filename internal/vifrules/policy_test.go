package vifrules

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, test := range []struct {
		guest Guest
		want  string // "": it is right
	}{
		{Guest{}, ""},
		{Guest{VLAN: 4094, Rate: 1 << 20, Trust: []Reason{DHCPServer}}, ""},
		{Guest{Inbound: []Inbound{{Protocol: TCP, First: 22}, {Protocol: ICMP}, {Protocol: Any}}}, ""},
		{Guest{Inbound: []Inbound{{Protocol: Any, First: 22}}}, "inbound any has no ports"},
		{Guest{VLAN: 4095}, "VLAN 4095: want 1 to 4094"},
		{Guest{Rate: 10}, "rate 10 bytes a second"},
		{Guest{Trust: []Reason{OverRate}}, `trust "rate"`},
		{Guest{Inbound: []Inbound{{Protocol: "sctp"}}}, `inbound protocol "sctp"`},
		{Guest{Inbound: []Inbound{{Protocol: UDP, First: 5, Last: 4}}}, "inbound ports 5 to 4"},
		{Guest{Inbound: []Inbound{{Protocol: ICMP, First: 5}}}, "icmp has no ports"},
	} {
		err := test.guest.Check()
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.guest, err, test.want)
		}
	}
}

// vifsOn are n vifs on the bridge of a private network.
func vifsOn(n int) []Vif {
	var vifs []Vif
	for i := range n {
		vifs = append(vifs, Vif{
			Name: fmt.Sprintf("vif%d.0", i), Bridge: "priv0", MAC: fmt.Sprintf("00:16:3e:00:%02x:%02x", i>>8, i&255),
			UUID: fmt.Sprint(i),
		})
	}
	return vifs
}

func config(prefix string) *Config {
	private := Private{Bridge: "priv0", Prefix: netip.MustParsePrefix(prefix)}
	return &Config{Host: Host{Private: []Private{private}}}
}

func TestEveryVifGetsAnAddressOfItsOwn(t *testing.T) {
	c, vifs := config("10.1.0.1/24"), vifsOn(253)
	c.assign(vifs)
	seen := map[netip.Addr]bool{netip.MustParseAddr("10.1.0.1"): true}
	for _, v := range vifs {
		if seen[v.Lease] || !netip.MustParsePrefix("10.1.0.0/24").Contains(v.Lease) {
			t.Errorf("%s has %s", v.MAC, v.Lease)
		}
		seen[v.Lease] = true
	}
	if seen[netip.MustParseAddr("10.1.0.0")] || seen[netip.MustParseAddr("10.1.0.255")] {
		t.Error("the first or the last address of the subnet was given")
	}
	full := vifsOn(254)
	c.assign(full)
	if full[253].Lease.IsValid() {
		t.Errorf("the 254th vif has %s", full[253].Lease)
	}
}

func TestAddressesStay(t *testing.T) {
	c, all := config("10.1.0.1/24"), vifsOn(50)
	c.assign(all)
	again := config("10.1.0.1/24") // after a reboot of the host, guests start in another order
	one := []Vif{all[7]}
	one[0].Lease = netip.Addr{}
	again.assign(one)
	first := probe(Private{Prefix: netip.MustParsePrefix("10.1.0.1/24")}, all[7].MAC, map[netip.Addr]bool{})
	if one[0].Lease != first {
		t.Errorf("%s after a reboot, want %s", one[0].Lease, first)
	}
	c.assign(all[:10]) // the others are switched off
	before := all[20].Lease
	c.assign(vifsOn(60)[50:])
	c.assign(all)
	if all[20].Lease != before {
		t.Errorf("%s after it was off, before %s", all[20].Lease, before)
	}
}

// A new vif, wherever its name is in the list, leaves the others their addresses.
func TestAnotherVifChangesNoAddress(t *testing.T) {
	private := Private{Bridge: "b", Prefix: netip.MustParsePrefix("10.7.0.1/28")}
	c := Config{Host: Host{Private: []Private{private}}}
	before := map[string]netip.Addr{}
	var vifs []Vif
	for i := range 13 {
		name := fmt.Sprintf("vif%d.0", i)
		vifs = append(vifs, Vif{Name: name, Bridge: "b", MAC: fmt.Sprintf("00:16:3e:00:00:%02x", i*7)})
		slices.SortFunc(vifs, func(a, b Vif) int { return strings.Compare(a.Name, b.Name) })
		c.assign(vifs)
		for _, v := range vifs {
			if old, known := before[v.Name]; known && v.Lease != old || !v.Lease.IsValid() {
				t.Errorf("with %d vifs %s has %s and had %s", i+1, v.Name, v.Lease, old)
			}
			before[v.Name] = v.Lease
		}
	}
	// The subnet is full of addresses of guests that have gone.
	gone := []Vif{{Name: "vif99.0", Bridge: "b", MAC: "00:16:3e:00:01:00"}}
	if c.assign(gone); !gone[0].Lease.IsValid() {
		t.Error("the only guest gets no address")
	}
}

func TestConfiguredAddress(t *testing.T) {
	c, vifs := config("10.1.0.1/24"), vifsOn(2)
	fixed := probe(Private{Prefix: netip.MustParsePrefix("10.1.0.1/24")}, vifs[0].MAC, map[netip.Addr]bool{})
	c.Guests = map[string]Guest{"1": {Addresses: []netip.Addr{netip.MustParseAddr("fd00::5"), fixed}}}
	c.assign(vifs)
	if vifs[1].Lease != fixed || vifs[0].Lease == fixed || !vifs[0].Lease.IsValid() {
		t.Errorf("%s and %s, want %s for the second", vifs[0].Lease, vifs[1].Lease, fixed)
	}
	if got := c.allowed(vifs[0]); len(got) != 1 || got[0] != vifs[0].Lease {
		t.Errorf("allowed %s", got)
	}
	c.Host.Private[0].Temporary = true
	if got := c.allowed(vifs[0]); len(got) != 0 {
		t.Errorf("allowed %s for a time", got)
	}
}

// Addresses are given from a range, and never one that another guest has configured.
func TestRange(t *testing.T) {
	c, vifs := config("10.1.0.1/24"), vifsOn(4)
	c.Leases = map[string]netip.Addr{vifs[0].MAC: netip.MustParseAddr("10.1.0.9")} // of before there was a range
	p := &c.Host.Private[0]
	p.First, p.Last = netip.MustParseAddr("10.1.0.100"), netip.MustParseAddr("10.1.0.103")
	p.Reserved = []netip.Addr{netip.MustParseAddr("10.1.0.101")}
	c.assign(vifs)
	seen := map[string]bool{}
	for _, v := range vifs {
		seen[v.Lease.String()] = true
	}
	for _, want := range []string{"10.1.0.100", "10.1.0.102", "10.1.0.103", "invalid IP"} {
		if !seen[want] {
			t.Errorf("%s was not given: %v", want, seen)
		}
	}
}

func TestLeasesAreBounded(t *testing.T) {
	c := config("10.1.0.1/8")
	for range 3 {
		for start := 0; start < 3*maxLeases; start += 1000 {
			c.assign(vifsOn(start + 1000)[start:])
		}
	}
	if len(c.Leases) > maxLeases+1000 {
		t.Errorf("%d leases are remembered", len(c.Leases))
	}
}

func TestTrafficOf(t *testing.T) {
	got := trafficOf(map[string]Count{
		"u.tx": {5, 500}, "u.rx": {6, 600}, "u.dhcp": {1, 300}, "u.mac": {}, "fence": {9, 9},
	}, map[string]string{"u": "web"})
	want := Traffic{"u", "web", Count{5, 500}, Count{6, 600}, map[Reason]Count{DHCPServer: {1, 300}}}
	if len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
