// Command run boots a zerodisc image in QEMU with its serial console in this terminal, and with
// its screen in a window where there is a display: the machine that `make demo` shows.
//
//	go run ./test/vm/run [-iso FILE] [-mode bios|uefi] [-medium cd|usb] [-mem MiB] [-accel auto|tcg|kvm] [-print]
//
// Ctrl-A x ends QEMU, Ctrl-A c switches between the console and QEMU's monitor.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "run:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	m, accel, printOnly, err := parse(args)
	if err != nil {
		return err
	}
	if m.Emulator, m.Window, err = emulator(); err != nil {
		return err
	}
	if m.Accel, err = qemu.ParseAccel(accel, m.Emulator); err != nil {
		return err
	}
	if m.Forwards, err = guestPages(); err != nil {
		return err
	}
	argv, err := qemu.Command(m, "build/vm/demo")
	if err != nil {
		return err
	}
	explain(m, argv)
	if printOnly {
		return nil
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return fmt.Errorf("%w: install it with make setup", err)
	}
	return syscall.Exec(path, argv, os.Environ()) // the terminal is QEMU's from here on
}

// parse turns flags into a machine, less its emulator, and the name of an accelerator.
func parse(args []string) (m qemu.Machine, accel string, printOnly bool, err error) {
	flags := flag.NewFlagSet("run", flag.ExitOnError)
	flags.StringVar(&m.ISO, "iso", "build/zerodisc.iso", "image to boot")
	mode := flags.String("mode", string(qemu.BIOS), "firmware: bios or uefi")
	medium := flags.String("medium", string(qemu.CD), "where the image is: cd or usb")
	flags.IntVar(&m.MemoryMiB, "mem", 1024, "memory of the machine in `MiB`")
	flags.StringVar(&accel, "accel", "auto", "auto (KVM where it works), tcg or kvm")
	flags.BoolVar(&printOnly, "print", false, "print the QEMU command and do not run it")
	if err := flags.Parse(args); err != nil {
		return m, "", false, err
	}
	m.Firmware, m.Medium, m.Terminal = qemu.Firmware(*mode), qemu.Medium(*medium), true
	return m, accel, printOnly, nil
}

// guestPages forwards ports to the addresses that QEMU's user network hands to the first two who
// ask after dom0.
func guestPages() ([]qemu.Forward, error) {
	forwards := []qemu.Forward{
		{HostPort: 8016, Address: "10.0.2.16", Port: 80},
		{HostPort: 8017, Address: "10.0.2.17", Port: 80},
	}
	for i := range forwards {
		port, err := qemu.FreePort(forwards[i].HostPort)
		if err != nil {
			return nil, err
		}
		forwards[i].HostPort = port
	}
	return forwards, nil
}

// hasDisplay says whether there is a screen to open a window on.
func hasDisplay() bool {
	return os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != ""
}

// emulator returns the host's own QEMU where that can show a window, which Debian packs separately, and else the
// one that the tests use.
func emulator() (e qemu.Emulator, window bool, err error) {
	if hasDisplay() {
		out, err := qemu.Host().Command(context.Background(), "-display", "help").Output()
		if err == nil && listsWindow(string(out)) {
			return qemu.Host(), true, nil
		}
	}
	e, err = qemu.Debian()
	return e, false, err
}

// listsWindow looks for a windowed display in the output of -display help.
func listsWindow(help string) bool {
	for _, word := range strings.Fields(help) {
		if word == "gtk" || word == "sdl" {
			return true
		}
	}
	return false
}

func explain(m qemu.Machine, argv []string) {
	fmt.Println("Booting", m.ISO, "in QEMU. Ctrl-A x ends it; poweroff in the shell shuts it down.")
	for i, f := range m.Forwards {
		fmt.Printf("Page of guest %d: http://127.0.0.1:%d/\n", i+1, f.HostPort)
	}
	fmt.Println(qemu.Quote(argv))
}
