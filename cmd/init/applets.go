package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/client"
	"github.com/zerodisc/zerodisc/internal/console"
	"github.com/zerodisc/zerodisc/internal/disksave"
	"github.com/zerodisc/zerodisc/internal/guestcmd"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/hotplug"
	"github.com/zerodisc/zerodisc/internal/imageserver"
	"github.com/zerodisc/zerodisc/internal/kmod"
	"github.com/zerodisc/zerodisc/internal/netcfg"
	"github.com/zerodisc/zerodisc/internal/oom"
	"github.com/zerodisc/zerodisc/internal/pid1"
	"github.com/zerodisc/zerodisc/internal/report"
	"github.com/zerodisc/zerodisc/internal/shell"
	"github.com/zerodisc/zerodisc/internal/stateadm"
	"github.com/zerodisc/zerodisc/internal/udevadm"
	"github.com/zerodisc/zerodisc/internal/xen"
)

// signalInit returns the applet that asks process 1 for action. A second call while the first is
// under way forces it: process 1 passes every request on.
func signalInit(action pid1.Action) func([]string) int {
	return func([]string) int {
		for sig, a := range pid1.Signals {
			// SIGINT is Ctrl-Alt-Del's own way to ask for a reboot.
			if a != action || sig == unix.SIGINT {
				continue
			}
			if err := unix.Kill(1, sig.(syscall.Signal)); err != nil {
				return fail(fmt.Errorf("signal process 1: %w", err))
			}
		}
		return 0
	}
}

// modprobe is /sbin/modprobe.
func modprobe(args []string) int {
	host, err := kmod.ThisHost(boot.ModulesDir, boot.EarlyModules)
	if err != nil {
		return fail(err)
	}
	return host.Modprobe(args, os.Stderr)
}

// xenConsole is what `xl console` starts: Debian's program of that name, with no line of the host's across it.
func xenConsole(args []string) int {
	console.Keep(boot.ConsolesDir, os.Stdin)
	program := filepath.Join(xen.BinDir, boot.DebianConsole)
	err := unix.Exec(program, append([]string{program}, args...), os.Environ())
	return fail(fmt.Errorf("start %s: %w", program, err))
}

// status prints the report of the host's state.
func status([]string) int {
	snapshot, err := readState()
	if err != nil {
		return fail(err)
	}
	_, _ = os.Stdout.WriteString(report.Text(snapshot))
	return 0
}

// udevadmApplet is udevadm.
func udevadmApplet(args []string) int { return udevadm.Main(args, os.Stdout, os.Stderr) }

// stateApplet is zerodisc-state.
func stateApplet(args []string) int {
	return stateadm.Main(args, stateadm.Config{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, State: readState, Mke2fs: xen.BinDir + "/mke2fs",
	})
}

// guestApplet is guest.
func guestApplet(args []string) int {
	return guestcmd.Main(args, guestcmd.Config{
		Client: client.New(boot.APISocket), In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Take: takeConsole,
	})
}

// completePatience is how long a completion waits for the names of guests: a person has a finger on the key.
const completePatience = 2 * time.Second

// shellApplet is sh. It and what it starts are a person's, and go before what the host itself has started when memory
// is short.
func shellApplet(args []string) int {
	_ = oom.Set(os.Getpid(), oom.Person) // without it they go like all others
	return shell.Main(args, shell.Config{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Complete: func(command string, words []string) []string {
			if command != "guest" {
				return nil
			}
			ctx, cancel := context.WithTimeout(context.Background(), completePatience)
			defer cancel()
			return guestcmd.Complete(ctx, words, client.New(boot.APISocket))
		},
	})
}

// diskSave is the process that saves a guest or one of its disks.
func diskSave(args []string) int {
	return disksave.Main(args, disksave.Config{
		State: readState, Kernel: disksave.Linux{},
		Disks: boot.GuestDisksDir, Guests: boot.StateGuests, Lock: boot.RunDir + "/disk-save.lock",
		Freeze: disksave.Freezer(boot.InitProgram),
	}, os.Stdout, os.Stderr)
}

// thaw is the process that has a guest go on when diskSave has ended.
func thaw(args []string) int { return disksave.Thaw(args, os.Stdin, os.Stderr) }

func readState() (*host.Snapshot, error) { return report.Read(stateFile) }

// fail prints what went wrong and returns the exit status for it.
func fail(err error) int {
	fmt.Fprintln(os.Stderr, "init:", err)
	return 1
}

// hotplugScript returns the applet that libxl runs for a guest's device.
func hotplugScript(name string) func([]string) int {
	return func(args []string) int {
		return hotplug.Main(name, args, os.Getenv, netcfg.AttachPort, os.Stderr)
	}
}

// imageServer is the process that serves a disk image.
func imageServer(args []string) int { return imageserver.Main(args, os.Stderr) }
