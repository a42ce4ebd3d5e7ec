//go:build vm && full

package vm

import (
	"path/filepath"
	"testing"

	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// needsFirmware is QEMU's NIC that does nothing without firmware.
const needsFirmware = "i82551"

// TestFirmware builds a disc with firmware and microcode, and boots it by UEFI and from the network. The only NIC needs
// its firmware. Of the emulator's processors Xen loads no microcode into any.
func TestFirmware(t *testing.T) {
	dir := t.TempDir()
	iso, netboot := filepath.Join(dir, "firmware.iso"), filepath.Join(dir, "netboot")
	if out, err := mkiso(t, "-with", "firmware", "-o", iso, "-netboot", netboot); err != nil {
		t.Fatalf("mkiso -with firmware: %v\n%s", err, out)
	}
	nics := []qemu.NIC{{Model: needsFirmware}}
	for _, test := range []struct {
		name    string
		machine qemu.Machine
	}{
		{"CD UEFI", qemu.Machine{ISO: iso, Firmware: qemu.UEFI, NICs: nics}},
		{"PXE BIOS", qemu.Machine{ISO: netboot, Medium: qemu.PXE, BootFile: "pxe-bios.0", NICs: nics}},
	} {
		t.Run(test.name, func(t *testing.T) {
			Story(t, test.machine, func(m *VM) { m.checkPages(m.waitGuests()) })
		})
	}
}
