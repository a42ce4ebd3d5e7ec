package netcfg

import (
	"net"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/vishvananda/netlink"
)

func TestChoose(t *testing.T) {
	mac := func(n byte) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, n} }
	eth := func(carriers ...bool) []NIC {
		nics := make([]NIC, len(carriers))
		for i, carrier := range carriers {
			nics[i] = NIC{Name: "eth" + string(rune('0'+i)), Index: i + 10, MAC: mac(byte(i)), Carrier: carrier}
		}
		return nics
	}
	answered := func(nics []NIC, which ...int) []NIC {
		for _, i := range which {
			nics[i].Answered = true
		}
		return nics
	}
	const none = 0
	tests := map[string]struct {
		Situation
		want int
	}{
		"no NIC":                           {Situation{Settled: true}, none},
		"first has a carrier":              {Situation{NICs: eth(true, true)}, 10},
		"second has one, first may get it": {Situation{NICs: eth(false, true)}, none},
		"second has one, first did not":    {Situation{NICs: eth(false, true), Settled: true}, 11},
		"no carrier":                       {Situation{NICs: eth(false, false), Settled: true}, none},
		"BOOTIF at once":                   {Situation{NICs: eth(true, false), Boot: mac(1)}, 11},
		"BOOTIF not there yet":             {Situation{NICs: eth(true), Boot: mac(1)}, none},
		"BOOTIF not there":                 {Situation{NICs: eth(true), Boot: mac(1), Settled: true}, 10},
		"BOOTIF comes late": {
			Situation{NICs: eth(true, true), Boot: mac(1), Settled: true, Current: 10},
			11,
		},
		"BOOTIF comes too late": {
			Situation{NICs: eth(true, true), Boot: mac(1), Settled: true, Current: 10, Leased: true},
			10,
		},
		"BOOTIF without a server": {
			Situation{NICs: eth(true, true), Boot: mac(1), Settled: true, Current: 11, Impatient: true},
			11,
		},
		"BOOTIF without a carrier": {
			Situation{
				NICs: eth(true, false), Boot: mac(1), Settled: true, Current: 11, Leased: true, CarrierGone: true,
			},
			11,
		},
		"current stays": {Situation{NICs: eth(true, true), Settled: true, Current: 11}, 11},
		"current's carrier blinks": {
			Situation{NICs: eth(true, false), Settled: true, Current: 11, Leased: true},
			11,
		},
		"cable moved": {
			Situation{NICs: eth(true, false), Settled: true, Current: 11, Leased: true, CarrierGone: true},
			10,
		},
		"cable out": {
			Situation{NICs: eth(false, false), Settled: true, Current: 11, Leased: true, CarrierGone: true},
			11,
		},
		"no server: next": {
			Situation{NICs: eth(true, false, true), Settled: true, Current: 10, Impatient: true},
			12,
		},
		"no server: round": {
			Situation{NICs: eth(true, false, true), Settled: true, Current: 12, Impatient: true},
			10,
		},
		"no server: the only one": {
			Situation{NICs: eth(false, true), Settled: true, Current: 11, Impatient: true},
			11,
		},
		"second has one, first has a carrier": {
			Situation{NICs: answered(eth(true, true), 1), Current: 10, Asking: true, Overdue: true},
			11,
		},
		"second's server is the faster": {
			Situation{NICs: answered(eth(true, true), 1), Current: 10, Asking: true},
			10,
		},
		"third answers, second may get a carrier": {
			Situation{NICs: answered(eth(true, false, true), 2), Current: 10, Asking: true, Overdue: true},
			10,
		},
		"third answers, second did not": {
			Situation{
				NICs: answered(eth(true, false, true), 2), Current: 10, Asking: true, Overdue: true, Settled: true,
			},
			12,
		},
		"all are asked, nobody answers": {
			Situation{NICs: eth(true, true), Settled: true, Current: 10, Asking: true, Overdue: true, Impatient: true},
			10,
		},
		"both answer, the first gives no lease": {
			Situation{
				NICs: answered(eth(true, true), 0, 1), Settled: true, Current: 10, Asking: true, Overdue: true,
				Impatient: true,
			},
			11,
		},
		"both answer": {
			Situation{NICs: answered(eth(true, true), 0, 1), Settled: true, Current: 11, Asking: true, Overdue: true},
			11,
		},
		"none in use, the second answers": {
			Situation{NICs: answered(eth(true, true), 1), Settled: true, Asking: true}, 11,
		},
		"BOOTIF, and another answers": {
			Situation{
				NICs: answered(eth(true, true), 1), Boot: mac(0), Settled: true, Current: 10, Asking: true,
				Overdue: true,
			},
			10,
		},
		"current went": {Situation{NICs: eth(false, true), Settled: true, Current: 99}, 11},
	}
	for name, test := range tests {
		got, ok := test.Choose()
		if got.Index != test.want || ok != (test.want != none) {
			t.Errorf("%s: got %v %v, want %d", name, got, ok, test.want)
		}
	}
}

func TestParseBootIF(t *testing.T) {
	tests := []struct {
		value, want string
		fails       bool
	}{
		{"01-aa-bb-cc-dd-ee-ff", "aa:bb:cc:dd:ee:ff", false},
		{"01-AA-BB-CC-DD-EE-FF", "aa:bb:cc:dd:ee:ff", false},
		{"aa:bb:cc:dd:ee:ff", "aa:bb:cc:dd:ee:ff", false},
		{"01:02:03:04:05:06", "01:02:03:04:05:06", false},
		{"", "", false},
		{"20-aa-bb-cc-dd-ee-ff", "", true}, // InfiniBand
		{"eth0", "", true},
		{"aa:bb:cc:dd:ee:ff:00:11", "", true},
	}
	for _, test := range tests {
		got, err := ParseBootIF(test.value)
		if got.String() != test.want || (err != nil) != test.fails {
			t.Errorf("%q: got %s, %v", test.value, got, err)
		}
	}
}

func FuzzParseBootIF(f *testing.F) {
	f.Add("01-aa-bb-cc-dd-ee-ff")
	f.Fuzz(func(t *testing.T, value string) {
		if mac, err := ParseBootIF(value); err == nil && value != "" && len(mac) != 6 {
			t.Errorf("%q became %s", value, mac)
		}
	})
}

func TestIsWired(t *testing.T) {
	sys := wired("eth0", "wlan0", "wlan1", "wwan0", "vif1.0", "ib0")
	add := func(file, text string) { sys["class/net/"+file] = &fstest.MapFile{Data: []byte(text)} }
	add("eth0/uevent", "INTERFACE=eth0\nIFINDEX=2\n")
	add("wlan0/phy80211/index", "0\n")
	add("wlan1/wireless/status", "0\n")
	add("wwan0/uevent", "DEVTYPE=wwan\nINTERFACE=wwan0\n")
	add("vif1.0/device/modalias", "xen-backend:vif\n")
	add("ib0/type", "32\n")
	add("xenbr0/type", "1\n")
	add("tap0/type", "1\n")
	add("lo/type", "772\n")
	for _, name := range []string{"eth0", "wlan0", "wlan1", "wwan0", "vif1.0", "ib0", "xenbr0", "tap0", "lo", "gone"} {
		if got, want := isWired(sys, name), name == "eth0"; got != want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestNaturalOrder(t *testing.T) {
	want := []string{"en", "enp2s0", "enp10s0", "eth0", "eth1", "eth2", "eth10", "eth10a", "eth010b", "usb0"}
	nics := make([]NIC, len(want))
	for i, name := range want {
		nics[len(want)-1-i].Name = name
	}
	sortNICs(nics)
	var got []string
	for _, nic := range nics {
		got = append(got, nic.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestWhyNoNIC(t *testing.T) {
	nics := []NIC{{Name: "eth0"}, {Name: "eth1"}, {Name: "eth2"}}
	link := func(name string) netlink.Link { return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: name}} }
	for name, test := range map[string]struct {
		nic  string
		nics []NIC
		want string
	}{
		"none":     {AutoNIC, nil, errNoNIC.Error()},
		"named":    {"eth7", nil, "eth7 has not appeared yet; there are eth0, eth1"},
		"no cable": {AutoNIC, nics[1:], "eth1, eth2: no carrier; check the cable"},
		"no firmware": {AutoNIC, nics, "set eth0 up: no such file or directory, dmesg may say why; " +
			"eth1, eth2: no carrier; check the cable"},
		"no firmware for the only one": {AutoNIC, nics[:1],
			"set eth0 up: no such file or directory, dmesg may say why"},
	} {
		u := &uplink{want: Interface{Bridge: "xenbr0", NIC: test.nic}, m: &Manager{
			options: Options{Sys: wired("eth0", "eth1")},
			links:   []netlink.Link{link("eth0"), link("lo"), link("eth1")},
			said:    map[string]string{"xenbr0: " + settingUp + "eth0": "set eth0 up: no such file or directory"},
		}}
		if got := u.whyNoNIC(test.nics).Error(); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
