package main

import (
	"testing"
	"testing/fstest"

	"github.com/zerodisc/zerodisc/boot"
)

// hypervisor is a /sys with the files of a Xen domain.
func hypervisor(kind, features string) fstest.MapFS {
	return fstest.MapFS{
		"hypervisor/type":                {Data: []byte(kind)},
		"hypervisor/properties/features": {Data: []byte(features)},
	}
}

func TestWhereAmI(t *testing.T) {
	for name, test := range map[string]struct {
		sys  fstest.MapFS
		want place
	}{
		"bare machine":     {fstest.MapFS{}, bareMachine},
		"s390 hypervisor":  {hypervisor("other\n", ""), bareMachine},
		"PV dom0":          {hypervisor("xen\n", "001e28e0\n"), xenDom0},
		"PV guest":         {hypervisor("xen\n", "001e20e0\n"), xenGuest},
		"PVH guest":        {hypervisor("xen\n", "00000705\n"), xenGuest},
		"without features": {hypervisor("xen\n", ""), xenGuest},
	} {
		if got := whereAmI(test.sys); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
}

func TestChooseMode(t *testing.T) {
	for _, test := range []struct {
		cmdline string
		place   place
		want    string
	}{
		{"", xenDom0, "dom0"},
		{"", bareMachine, "dom0"}, // whose stage xen says what is wrong
		{"zerodisc.guest", xenGuest, "guest"},
		{"zerodisc.guest", bareMachine, "bare guest"},
		{"zerodisc.guest", xenDom0, "bare guest"},
		{"zerodisc.rescue", bareMachine, "rescue"},
		{"zerodisc.rescue", xenDom0, "rescue"},
		{"zerodisc.rescue", xenGuest, "rescue"}, // an HVM guest that was started from the disc
		{"zerodisc.check zerodisc.id=1", bareMachine, "check"},
		{"zerodisc.check zerodisc.rescue zerodisc.guest", bareMachine, "check"},
		{"zerodisc.rescue zerodisc.guest", xenGuest, "guest"},
	} {
		if got := chooseMode(boot.ParseCmdline(test.cmdline), test.place).name; got != test.want {
			t.Errorf("%q in place %d: mode %q, want %q", test.cmdline, test.place, got, test.want)
		}
	}
}
