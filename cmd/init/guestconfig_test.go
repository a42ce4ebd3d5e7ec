package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/config"
)

func TestOverrideOf(t *testing.T) {
	c := read(t, "guests: {web: {autostart: no, order: -5, delay: 2s, memory: 4097K, vcpus: 2, restart: on-failure, "+
		"network: {bridge: xenbr0, mac: \"52:54:00:00:00:01\"}}, db: {memory: 1G}}")
	web := overrideOf(c.Guests["web"])
	if web.Autostart == nil || *web.Autostart {
		t.Error("it starts by itself")
	}
	web.Autostart = nil
	want := guests.Override{
		Order: -5, Delay: 2 * time.Second, MemoryMiB: 5, VCPUs: 2, Restart: guests.OnFailure, Bridge: "xenbr0",
		MAC: "52:54:00:00:00:01",
	}
	if web != want {
		t.Errorf("%+v", web)
	}
	if db := overrideOf(c.Guests["db"]); db != (guests.Override{MemoryMiB: 1024}) {
		t.Errorf("%+v", db)
	}
	if none := overrideOf(c.Guests["none"]); none != (guests.Override{}) {
		t.Errorf("%+v", none)
	}
}

// TestNoAutostart holds the entry of the menu without guests to its word.
func TestNoAutostart(t *testing.T) {
	for cmdline, want := range map[string]bool{
		"quiet": true, "zerodisc.autostart=no": false, "zerodisc.autostart": true,
	} {
		d, _ := configured(t, cmdline)
		d.addLayer(discLayer, config.Parse("disc", []byte("guests: {web: {autostart: yes}}")))
		d.conf.merge()
		if got := d.override("web").Autostart; (got != nil) != want {
			t.Errorf("%s: %v", cmdline, got)
		}
	}
}

// Another bridge or a MAC address is for a guest's next domain; rules are for the one that runs, too.
func TestSameRules(t *testing.T) {
	const text = "guests: {web: {network: {rate: 80Mbit/s}}, db: {memory: 1G}}"
	for other, want := range map[string]bool{
		text: true,
		"guests: {web: {memory: 2G, network: {rate: 80Mbit/s, bridge: xenbr0}}, db: {network: {isolated: no}}}": true,
		"guests: {web: {network: {rate: 40Mbit/s}}}":                                                            false,
		"guests: {web: {network: {rate: 80Mbit/s, inbound: []}}}":                                               false,
		"guests: {web: {network: {rate: 80Mbit/s}}, db: {network: {isolated: yes}}}":                            false,
		"guests: {web: {network: {rate: 80Mbit/s}}, db: {network: {address: 192.0.2.7}}}":                       false,
		"hostname: a": false,
	} {
		if got := sameRules(read(t, text), read(t, other)); got != want {
			t.Errorf("%s: the same rules: %v", other, got)
		}
	}
}

func TestGuestRules(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"isolated: no", "{Name: Addresses:[] VLAN:0 Rate:0 Isolated:false NoHost:false Inbound:[] Trust:[]}"},
		{
			"vlan: 5, address: 192.0.2.7, rate: 80Mbit/s, isolated: yes, host: no, trust: [dhcp, ra]",
			"{Name: Addresses:[192.0.2.7] VLAN:5 Rate:10000000 Isolated:true NoHost:true Inbound:[] Trust:[dhcp ra]}",
		},
	} {
		n := read(t, "guests: {web: {network: {"+test.text+"}}}").Guests["web"].Network
		rules := guestRules(n)
		if got := fmt.Sprintf("%+v", rules); got != test.want || rules.Inbound != nil || rules.Check() != nil {
			t.Errorf("%s: %s, %v", test.text, got, rules.Check())
		}
	}
	for text, want := range map[string]string{
		"[]": "[]",
		`[{protocol: tcp, ports: "22,8000-8080", from: [192.0.2.0/24, "2001:db8::/32"]}, {protocol: icmp}]`: "[" +
			"{Protocol:tcp First:22 Last:22 From:192.0.2.0/24} {Protocol:tcp First:22 Last:22 From:2001:db8::/32} " +
			"{Protocol:tcp First:8000 Last:8080 From:192.0.2.0/24} " +
			"{Protocol:tcp First:8000 Last:8080 From:2001:db8::/32} " +
			"{Protocol:icmp First:0 Last:0 From:invalid Prefix}]",
		"[{protocol: any, from: [192.0.2.0/24]}]": "[{Protocol:any First:0 Last:0 From:192.0.2.0/24}]",
	} {
		rules := guestRules(read(t, "guests: {web: {network: {inbound: "+text+"}}}").Guests["web"].Network)
		if got := fmt.Sprintf("%+v", rules.Inbound); got != want || rules.Inbound == nil || rules.Check() != nil {
			t.Errorf("%s:\n%s\nwant\n%s, %v", text, got, want, rules.Check())
		}
	}
}
