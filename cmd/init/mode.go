package main

import (
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
)

// mode is one of the things that stage2 can boot.
//
// Each has a type that embeds what it stands on: dom0 a machine, since it has real devices to find, and a machine
// a system, since it has consoles and can be asked to end; a guest of Xen's embeds the system alone. It is embedding,
// not fields, because the boot's stages are methods of the mode and half of them are a machine's. A mode calls the
// methods of what it embeds and sets, before its boot starts, the fields that say how (machine.modules). It reads
// devices, which findDevices sets, and sends to requests, which firstRequest reads; log and report it may use from
// any goroutine.
type mode struct {
	name  string
	board bool // it has the status board on the screen
	when  func(boot.Cmdline, place) bool
	run   func(*system) int // returns the exit status for process 1
}

// modes, most specific first; the last always matches.
var modes = []mode{
	{name: "guest", run: runDemoGuest, when: func(c boot.Cmdline, p place) bool {
		return c.Has(boot.KeyGuest) && p == xenGuest
	}},
	{name: "check", run: runCheck, when: asked(boot.KeyCheck)},
	{name: "rescue", run: runRescue, when: asked(boot.KeyRescue)},
	{name: "bare guest", run: runBareGuest, when: asked(boot.KeyGuest)},
	{name: "dom0", run: runDom0, board: true, when: func(boot.Cmdline, place) bool { return true }},
}

// asked is the condition that the kernel command line has key.
func asked(key string) func(boot.Cmdline, place) bool {
	return func(c boot.Cmdline, _ place) bool { return c.Has(key) }
}

// chooseMode returns the mode to boot.
func chooseMode(c boot.Cmdline, p place) mode {
	return modes[slices.IndexFunc(modes, func(m mode) bool { return m.when(c, p) })]
}

// place is where the kernel runs.
type place int

const (
	bareMachine place = iota // or a virtual machine of another hypervisor's
	xenDom0
	xenGuest
)

// featureDom0 is XENFEAT_dom0 of Xen's public/features.h: a bit that Xen sets for its control domain.
const featureDom0 = 11

// whereAmI finds out where the kernel runs. The directory hypervisor of sysfs (Linux,
// Documentation/ABI/stable/sysfs-hypervisor-xen) is there as soon as sysfs is mounted and in domains of
// all types; /proc/xen/capabilities, which says the same, would need a module first.
func whereAmI(sys fs.FS) place {
	kind, err := fs.ReadFile(sys, "hypervisor/type")
	if err != nil || strings.TrimSpace(string(kind)) != "xen" {
		return bareMachine
	}
	text, _ := fs.ReadFile(sys, "hypervisor/properties/features")
	features, err := strconv.ParseUint(strings.TrimSpace(string(text)), 16, 64)
	if err == nil && features>>featureDom0&1 == 1 {
		return xenDom0
	}
	return xenGuest
}
