// Command init is process 1 of zerodisc's dom0 and of its demo guests, and every applet that the
// two need; the role is chosen by the name it is called by, or by its first argument. mkiso links
// u-root's commands into the same program (package initramfs).
//
//	(PID 1)                  the outer process: reaps, forwards signals, ends the machine
//	init stage2              the inner process: boots dom0, or what the kernel command line asks
//	                         for: zerodisc.guest, zerodisc.rescue, zerodisc.check
//	init stage2 WORDS        the same, which goes on after one has crashed with these last words
//	init emergency ...       shells on every console after stage2 has crashed and nothing can go on for it
//	poweroff, reboot, halt   ask process 1 to shut the guests down and end the machine
//	modprobe                 loads modules for the kernel and for people
//	vif-bridge, block        Xen's hotplug scripts (xl-network-configuration(5), block-scripts.txt)
//	xenconsole               a guest's console for xl: has Debian's program run
//	status                   prints the boot report again
//	board                    the status board, on any terminal
//	imageserver              serves parts of a guest's disk image that the kernel cannot read itself
//	services                 lists services, and starts and stops them
//	logs                     shows what the host has logged
//	zerodisc-report          gathers what is known about a problem, without secrets
//	zerodisc-state           makes and shows the state volume
//	sh                       the shell of the consoles
//	guest                    shows guests, orders what is to become of them, opens their consoles
//	sshd                     the SSH server
//	ssh-password             makes a password for one login by SSH
//	zerodisc-config          shows the configuration and where each value came from
//	udevadm                  shows, follows and triggers devices, as systemd's udevadm(8)
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

	"github.com/u-root/gobusybox/src/pkg/bb/bbmain"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/disksave"
	"github.com/zerodisc/zerodisc/internal/imageserver"
	"github.com/zerodisc/zerodisc/internal/pid1"
	"github.com/zerodisc/zerodisc/internal/sshd"
)

// roles are the ways to run, by the first argument; each returns an exit status.
var roles = map[string]func(args []string) int{
	"stage2":     stage2,
	"emergency":  emergency,
	"poweroff":   signalInit(pid1.PowerOff),
	"reboot":     signalInit(pid1.Reboot),
	"halt":       signalInit(pid1.Halt),
	"modprobe":   modprobe,
	"vif-bridge": hotplugScript("vif-bridge"),
	"block":      hotplugScript("block"),
	"status":     status,
	"board":      boardApplet,
	"xenconsole": xenConsole,
	"udevadm":    udevadmApplet,
	"guest":      guestApplet,
	"sh":         shellApplet,

	"services":        servicesApplet,
	"logs":            logsApplet,
	"zerodisc-report": reportApplet,
	"zerodisc-state":  stateApplet,
	"zerodisc-config": configApplet,
	disksave.Role:     diskSave,
	disksave.ThawRole: thaw,

	imageserver.Role: imageServer,

	sshd.Role:      sshServer,
	"ssh-password": sshPassword,
}

func main() {
	if os.Getpid() == 1 {
		outer()
		return
	}
	// A link's name is the role; "init ROLE" says it too.
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	if name == "init" && len(args) > 0 {
		name, args = args[0], args[1:]
	}
	if run, ok := roles[name]; ok {
		os.Exit(run(args))
	}
	if isLister(name) {
		os.Exit(list(name, args))
	}
	// u-root's commands, which take their arguments from os.Args. It returns only where there is
	// no such command.
	os.Args = append([]string{name}, args...)
	_ = bbmain.Run(name)
	names := append(slices.Collect(maps.Keys(roles)), bbmain.ListCmds()...)
	slices.Sort(names)
	fmt.Fprintf(os.Stderr, "init: %q is none of its roles and commands: %s\n", name, strings.Join(names, " "))
	os.Exit(2)
}

// outer runs process 1. Standard output is /dev/console, which the cpio carries.
func outer() {
	i := pid1.Init{
		Stage2:    []string{boot.InitProgram, "stage2"},
		Emergency: []string{boot.InitProgram, "emergency"},
		Stderr:    os.Stderr,
		End:       pid1.End,
	}
	i.Run()
}
