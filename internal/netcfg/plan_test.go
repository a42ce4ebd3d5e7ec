package netcfg

import (
	"cmp"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// example is a lease with some of everything.
func example() *Lease {
	return &Lease{
		Address:   netip.MustParsePrefix("192.0.2.50/24"),
		Broadcast: netip.MustParseAddr("192.0.2.255"),
		Server:    router1,
		Routes: []Route{
			{Destination: netip.MustParsePrefix("203.0.113.1/32")},
			{Destination: anywhere, Gateway: far, OnLink: true},
		},
		DNS:      []netip.Addr{netip.MustParseAddr("192.0.2.3")},
		Search:   []string{"a.example", "b.example"},
		Hostname: "host7",
		NTP:      []netip.Addr{netip.MustParseAddr("192.0.2.4")},
		Times:    Times{Start: time.Unix(1000, 0), T1: 50, T2: 80, Length: 100},
	}
}

// installed is what the kernel has when it has all of a lease, and no more.
func installed(lease *Lease) Installed {
	if lease == nil {
		return Installed{Up: true, MTU: DefaultMTU}
	}
	routes := slices.Clone(lease.Routes)
	slices.Reverse(routes) // the kernel's order is not the lease's
	return Installed{
		Up: true, MTU: cmp.Or(lease.MTU, DefaultMTU), Addresses: []netip.Prefix{lease.Address}, Routes: routes,
	}
}

func renewed(lease *Lease) *Lease {
	lease.Times.Start = lease.Times.Start.Add(50)
	return lease
}

func TestPlan(t *testing.T) {
	with := func(change func(*Lease)) *Lease {
		lease := example()
		change(lease)
		return lease
	}
	all := []string{
		"set address 192.0.2.50/24", "add route 203.0.113.1/32", "add route 0.0.0.0/0 via 203.0.113.1",
	}
	tests := map[string]struct {
		old, next *Lease
		want      []string
	}{
		"nothing":     {nil, nil, nil},
		"first":       {nil, example(), all},
		"the same":    {example(), example(), nil},
		"renewal":     {example(), renewed(example()), []string{"set address 192.0.2.50/24"}},
		"other files": {example(), with(func(l *Lease) { l.DNS, l.Hostname = nil, "" }), nil},
		"other router": {
			example(), with(func(l *Lease) { l.Routes = []Route{{Destination: anywhere, Gateway: router1}} }),
			[]string{
				"remove route 0.0.0.0/0 via 203.0.113.1", "remove route 203.0.113.1/32",
				"add route 0.0.0.0/0 via 192.0.2.1",
			},
		},
		"renumbered in the same subnet": {
			example(), with(func(l *Lease) { l.Address = netip.MustParsePrefix("192.0.2.51/24") }),
			[]string{
				"remove route 0.0.0.0/0 via 203.0.113.1", "remove route 203.0.113.1/32",
				"remove address 192.0.2.50/24",
				"set address 192.0.2.51/24", "add route 203.0.113.1/32", "add route 0.0.0.0/0 via 203.0.113.1",
			},
		},
		"MTU before address": {
			with(func(l *Lease) { l.MTU = 1400 }), with(func(l *Lease) { l.MTU = 9000 }),
			[]string{"set MTU 9000"},
		},
		"lost": {
			with(func(l *Lease) { l.MTU = 1400 }), nil,
			[]string{
				"remove route 0.0.0.0/0 via 203.0.113.1", "remove route 203.0.113.1/32",
				"remove address 192.0.2.50/24",
				"set MTU 1500",
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, change := range Plan(installed(test.old), test.old.config(), test.next.config()) {
				got = append(got, change.String())
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

// TestPlanMends holds for a lease that stays as it is while the kernel's part of it changes.
func TestPlanMends(t *testing.T) {
	lease := example()
	lease.MTU = 1400
	foreign := netip.MustParsePrefix("198.51.100.7/24")
	tests := map[string]struct {
		change func(*Installed)
		want   []string
	}{
		"nothing": {func(*Installed) {}, nil},
		"routes gone": {
			func(have *Installed) { have.Routes = nil },
			[]string{"add route 203.0.113.1/32", "add route 0.0.0.0/0 via 203.0.113.1"},
		},
		"address gone": {func(have *Installed) { have.Addresses = nil }, []string{"set address 192.0.2.50/24"}},
		"other MTU":    {func(have *Installed) { have.MTU = 1500 }, []string{"set MTU 1400"}},
		"a port's MTU": {func(have *Installed) { have.MTU = 0 }, []string{"set MTU 1400"}},
		"more address": {func(have *Installed) { have.Addresses = append(have.Addresses, foreign) }, nil},
		"a stale route": {
			func(have *Installed) { have.Routes = append(have.Routes, Route{Destination: foreign.Masked()}) },
			[]string{"remove route 198.51.100.0/24"},
		},
	}
	for name, test := range tests {
		have := installed(lease)
		test.change(&have)
		var got []string
		for _, change := range Plan(have, lease.config(), lease.config()) {
			got = append(got, change.String())
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got  %q\nwant %q", name, got, test.want)
		}
	}
}

func TestSetAddressExpires(t *testing.T) {
	first := Plan(Installed{}, Config{}, example().config())[0].(SetAddress)
	if want := time.Unix(1000, 100); !first.Address.Expires.Equal(want) {
		t.Errorf("expires %s, want %s", first.Address.Expires, want)
	}
	endless := example()
	endless.Times.Length = Forever
	if first := Plan(Installed{}, Config{}, endless.config())[0].(SetAddress); !first.Address.Expires.IsZero() {
		t.Errorf("an endless lease expires %s", first.Address.Expires)
	}
}

func TestResolvConf(t *testing.T) {
	const head = "# written from the configuration, DHCP leases and router advertisements; changes are lost\n"
	tests := map[string]struct {
		lease *Lease
		want  string
	}{
		"full":    {example(), head + "search a.example b.example\nnameserver 192.0.2.3\n"},
		"no DNS":  {&Lease{}, head + "# no name server known\n"},
		"nothing": {nil, head + "# no name server known\n"},
	}
	for name, test := range tests {
		if got := test.lease.services().ResolvConf(); got != test.want {
			t.Errorf("%s: got %q", name, got)
		}
	}
}
