// Command init is process 1 of zerodisc's dom0 and of its demo guests, and every applet that the
// two need: it is one binary with u-root's commands, and the role is chosen by how it is called.
//
//	(PID 1)                  the outer process: reaps, forwards signals, ends the machine
//	init stage2              the inner process: boots dom0, or a guest when the kernel command
//	                         line has zerodisc.guest
//	init rescue REPORT       shells on every console after stage2 has crashed
//	poweroff, reboot, halt   ask process 1 to shut the guests down and end the machine
//	modprobe                 loads modules for the kernel and for people
//	vif-bridge, block        Xen's hotplug scripts (xl-network-configuration(5), block-scripts.txt)
//	status                   prints the boot report again
//
// The kernel command line is described in docs/kernel-parameters.md, the lines on the console in
// docs/console.md.
package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/internal/pid1"
)

// self is this program's path in the initrd.
const self = "/usr/bin/init"

// roles are the ways to run, by the first argument; each returns an exit status.
var roles = map[string]func(args []string) int{
	"stage2":     stage2,
	"rescue":     rescue,
	"poweroff":   signalInit(pid1.PowerOff),
	"reboot":     signalInit(pid1.Reboot),
	"halt":       signalInit(pid1.Halt),
	"modprobe":   modprobe,
	"vif-bridge": hotplugScript("vif-bridge"),
	"block":      hotplugScript("block"),
	"status":     status,
}

func main() {
	if os.Getpid() == 1 {
		outer()
		return
	}
	if len(os.Args) > 1 {
		if run, ok := roles[filepath.Base(os.Args[1])]; ok {
			os.Exit(run(os.Args[2:]))
		}
	}
	names := slices.Sorted(maps.Keys(roles))
	fmt.Fprintf(os.Stderr, "init: want one of these as the first argument: %s\n", strings.Join(names, ", "))
	os.Exit(2)
}

// outer runs process 1. Standard output is /dev/console, which the cpio carries.
func outer() {
	i := pid1.Init{
		Stage2: []string{self, "stage2"},
		Rescue: []string{self, "rescue"},
		Stderr: os.Stderr,
		End:    pid1.End,
	}
	i.Run()
}
