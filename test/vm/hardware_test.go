//go:build vm && full

package vm

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// TestHardware boots a machine for each drive, with the boot medium in it, and each NIC: dom0 finds the medium, or gets
// its address, and the table in docs/hardware.md says by which drivers. QEMU loads Xen and dom0: what the firmware can
// read from is not the question, and the boots are shorter.
func TestHardware(t *testing.T) {
	kernel := multibootOf(t)
	for i := range max(len(nics), len(drives)) {
		var nic, drive []part
		var names []string
		if i < len(nics) {
			nic = nics[i : i+1]
			names = append(names, nics[i].name())
		}
		if i < len(drives) {
			drive = drives[i : i+1]
			names = append(names, drives[i].name())
		}
		name := strings.ReplaceAll(strings.Join(names, ", "), "`", "")
		t.Run(name, func(t *testing.T) { bootParts(t, kernel, nic, drive) })
	}
}

// bootParts boots a machine that has a NIC and the medium in a drive, or only one of them.
func bootParts(t *testing.T, kernel qemu.Multiboot, nic, drive []part) {
	machine := qemu.Machine{Multiboot: kernel, NICs: []qemu.NIC{}}
	for _, p := range nic {
		machine.NICs = append(machine.NICs, qemu.NIC{Model: p.device, On: p.on})
	}
	for _, p := range drive {
		on := slices.DeleteFunc(slices.Clone(p.on), func(name string) bool { return name == onBoard })
		machine.Disks = append(machine.Disks, qemu.Disk{File: mediumDisk(t), Device: p.device, On: on})
	}
	Story(t, machine, func(m *VM) {
		for _, p := range drive {
			m.findsMedium(p)
		}
		for _, p := range nic {
			m.findsAddress(p)
		}
	})
}

func (m *VM) findsMedium(p part) {
	m.t.Helper()
	if failed := m.Wait(`msg=stage name=media`, bootLimit).Get("err"); failed != "" {
		m.Fatalf("%s: %s\n%s", p.name(), failed, m.Report())
	}
	device := m.Wait(`msg="`+boot.MsgMedium+`"`, soon).Get("device")
	m.sees(p, m.drivers("-n "+device), "the medium in `"+device+"`")
}

// findsAddress also checks that a NIC without its firmware does nothing, and that the console says why.
func (m *VM) findsAddress(p part) {
	m.t.Helper()
	if firmware := needed[p.device]; firmware != "" {
		m.WaitText("Failed to load firmware .*"+firmware, addressLimit)
		why := m.Wait(`msg="`+boot.MsgNoNIC+`"`, addressLimit).Get("err")
		if !strings.Contains(why, "set eth0 up") {
			m.Errorf("%s has no firmware, and the console says %q", p.name(), why)
		}
		m.sees(p, m.drivers("-p /class/net/eth0"), "nothing, without the firmware `"+firmware+"`")
		return
	}
	name := m.Wait(`msg="`+boot.MsgHostAddress+`"`, addressLimit).Get("nic")
	m.sees(p, m.drivers("-p /class/net/"+name), "its address on `"+name+"`")
}

// mediumDisk makes a disk of the image under test. SD cards have sizes that are powers of two.
func mediumDisk(t *testing.T) string {
	t.Helper()
	image, err := os.ReadFile(Image())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "medium.img")
	write(t, file, string(image))
	if err := os.Truncate(file, qemu.DiskSize); err != nil {
		t.Fatal(err)
	}
	return file
}

// driverLine is a line of udevadm info -a, of a device or one above it.
var driverLine = regexp.MustCompile(`DRIVERS=="([^"]+)"`)

// common are drivers that say nothing of the hardware: they are on top of others.
var common = []string{"sd", "sr", "usb", "hub", "pcieport"}

// drivers returns the drivers of a device and of those above it, the device's first.
func (m *VM) drivers(device string) string {
	m.t.Helper()
	m.Wait(`msg=ready guests=0`, bootLimit)
	said := m.Shell("udevadm info -a " + device + " | grep DRIVERS")
	var names []string
	for _, match := range driverLine.FindAllStringSubmatch(said, -1) {
		if name := match[1]; !slices.Contains(common, name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		m.Errorf("udevadm knows no driver of %s:\n%s", device, said)
	}
	return strings.Join(names, ", ")
}

// sees compares what a boot has shown with the part's row in the table, or writes it there.
func (m *VM) sees(p part, drivers, found string) {
	m.t.Helper()
	before, rows, after := readRows(m.t)
	want := p.row(drivers, found)
	m.t.Log(want)
	if slices.Contains(rows, want) {
		return
	}
	at := slices.IndexFunc(rows, func(row string) bool { return rowStart(row) == rowStart(want) })
	switch {
	case at < 0:
		m.Errorf("%s has no row for %s; go test ./test/vm -update makes it", hardwarePage, p.name())
	case *update:
		rows[at] = want
		writeRows(m.t, before, rows, after)
	default:
		m.Errorf("%s says\n%s\nand the boot showed\n%s\nmake vm-full VM=TestHardware FLAGS=-update writes that",
			hardwarePage, rows[at], want)
	}
}

// multibootOf takes Xen, dom0's kernel and the initrd from the image under test, with the command lines of the menu's
// entry that starts no guests.
func multibootOf(t *testing.T) qemu.Multiboot {
	t.Helper()
	dir := t.TempDir()
	image, err := filepath.Abs(Image())
	if err != nil {
		t.Fatal(err)
	}
	take := func(name string) string { return tool(t, "isoinfo", "-i", image, "-R", "-x", name) }
	xen, kernel, initrd := filepath.Join(dir, "xen"), filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "initrd.img")
	write(t, xen, unzip(t, take("/boot/xen.gz")))
	write(t, kernel, take("/boot/vmlinuz"))
	write(t, initrd, take("/boot/initrd.img"))
	menu := take("/boot/grub/grub.cfg")
	return qemu.Multiboot{
		Kernel: xen, Cmdline: cmdlineOf(t, menu, "xen.gz"),
		Modules: []string{
			fmt.Sprintf("%s %s %s=no", kernel, cmdlineOf(t, menu, "vmlinuz"), boot.KeyToRAM),
			initrd,
		},
	}
}

// cmdlineOf returns the command line of a file in the menu's entry that starts no guests.
func cmdlineOf(t *testing.T, menu, file string) string {
	t.Helper()
	id := regexp.MustCompile(`set medium_id=(\S+)`).FindStringSubmatch(menu)
	_, entry, _ := strings.Cut(menu, "--id no-autostart {")
	line := regexp.MustCompile(`"\$base/boot/` + file + `" (.*)`).FindStringSubmatch(entry)
	if id == nil || line == nil {
		t.Fatalf("the menu has no command line for %s", file)
	}
	words := strings.Fields(strings.ReplaceAll(line[1], "$medium_id", id[1]))
	settings := func(word string) bool { return strings.Contains(word, "$") }
	return strings.Join(slices.DeleteFunc(words, settings), " ")
}

func unzip(t *testing.T, zipped string) string {
	t.Helper()
	r, err := gzip.NewReader(strings.NewReader(zipped))
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
