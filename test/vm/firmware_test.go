//go:build vm && full

package vm

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// needsFirmware is QEMU's NIC that does nothing without firmware.
const needsFirmware = "i82551"

// TestFirmware builds a disc with firmware and microcode, and boots it by UEFI and from the network. The only NIC needs
// its firmware.
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
			Story(t, test.machine, func(m *VM) {
				m.checkPages(m.waitGuests())
				said := m.Shell("xl dmesg")
				if !strings.Contains(said, "icrocode") || strings.Contains(said, "not found during CPIO scan") {
					m.Errorf("Xen found no microcode:\n%s", said)
				}
				t.Log(m.Shell("xl dmesg | grep icrocode"))
			})
		})
	}
}
