//go:build vm

package vm

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/test/vm/console"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// TestPVHGuests boots a processor with hardware virtualisation, where guests run as PVH, from an NVMe disk under UEFI
// on the newer board.
func TestPVHGuests(t *testing.T) {
	t.Parallel()
	Story(t, qemu.Machine{CPU: qemu.PVH, Medium: qemu.NVMe, Firmware: qemu.UEFI, Board: "q35"}, func(m *VM) {
		m.Wait(`msg=ready`, bootLimit) // with fewer guests where the emulator has just ended one: dom0 makes it anew
		addresses := m.waitAddresses()
		m.Run("pages", func(m *VM) { m.checkPages(addresses) })
		m.Run("PVH guests", func(m *VM) { m.checkType("pvh") })
		m.Run("no guest ended by itself", func(m *VM) {
			stopped := len(m.Console.Events(0, console.Query{"msg": boot.MsgGuestStopped}))
			if ended := emulatorEnded(m.Console); stopped > ended {
				m.Errorf("guests stopped %d times, and the emulator ended %d", stopped, ended)
			}
		})
		m.Run("power off with guests", func(m *VM) { m.checkPowerOff(typePowerOff, guests...) })
	})
}

// brokenGuests are guests that must be refused: name, configuration, what becomes of it on the disc,
// as if the disc were damaged, because mkiso itself takes no broken guest, and what the refusal
// has to mention.
var brokenGuests = []struct{ name, cfg, on, mention string }{
	{name: "badsyntax", mention: "badsyntax.cfg:1",
		cfg: `name = "badsyntax"
kernel = "dom0"
memory = 96
`, on: `name = "badsyntax_
kernel = "dom0"
memory = 96
`},
	{name: "nokernel", mention: "missing_.img",
		cfg: `name = "nokernel"
kernel = "nokernel.cfg"
memory = 96
`, on: `name = "nokernel"
kernel = "missing_.img"
memory = 96
`},
	{name: "toolarge", mention: "65536",
		cfg: `name = "toolarge"
kernel = "dom0"
memory = 65536
`},
}

// TestBrokenGuests boots a disk with three broken guests beside the two good ones, in a machine with two NICs of which
// only the second leads to a DHCP server: each broken guest is refused, with its file and a reason, the good ones
// start, and the host finds its network.
func TestBrokenGuests(t *testing.T) {
	t.Parallel()
	machine := qemu.Machine{
		ISO: buildWithGuests(t), Medium: qemu.SATA, NICs: []qemu.NIC{{Net: qemu.NoServer}, {Net: qemu.UserNet}},
	}
	Story(t, machine, func(m *VM) {
		m.Wait(`msg=ready guests=2`, bootLimit)
		m.Run("second NIC", func(m *VM) { m.Wait(`msg="host address"`, addressLimit) })
		m.Run("good guests", func(m *VM) { m.checkPages(m.waitGuests()) })
		for _, broken := range brokenGuests {
			m.Run(broken.name, func(m *VM) { m.checkRefused(broken.name, broken.mention) })
		}
	})
}

// checkRefused checks that a guest was refused for a reason that has mention in it, and does not exist.
func (m *VM) checkRefused(name, mention string) {
	refusal := m.Wait(fmt.Sprintf(`msg=%q guest=%s`, boot.MsgGuestRefused, name), soon)
	if said := refusal.Get("file") + " " + refusal.Get("err"); !strings.Contains(said, mention) {
		m.Errorf("refusal %q does not mention %s", said, mention)
	}
	if strings.Contains(m.Shell("xl list"), name) {
		m.Errorf("guest %s was refused and exists", name)
	}
}

// buildWithGuests builds an image that has the broken guests too, from the packages that the
// image under test was built from, and returns its path.
func buildWithGuests(t *testing.T) string {
	t.Helper()
	store := t.TempDir()
	for _, guest := range brokenGuests {
		dir := filepath.Join(store, guest.name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, guest.name+".cfg"), []byte(guest.cfg), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	iso := filepath.Join(t.TempDir(), "broken-guests.iso")
	if out, err := mkiso(t, "-offline", "-guests", store, "-o", iso); err != nil {
		t.Fatalf("build an image with broken guests: %v\n%s", err, out)
	}
	damage(t, iso)
	return iso
}

// damage writes over the configurations in an image.
func damage(t *testing.T, iso string) {
	t.Helper()
	image, err := os.ReadFile(iso)
	if err != nil {
		t.Fatal(err)
	}
	for _, guest := range brokenGuests {
		if guest.on == "" {
			continue
		}
		at := bytes.Index(image, []byte(guest.cfg))
		if at < 0 || len(guest.on) != len(guest.cfg) {
			t.Fatalf("the configuration of %s is not in the image, or cannot be replaced in place", guest.name)
		}
		copy(image[at:], guest.on)
	}
	if err := os.WriteFile(iso, image, 0o644); err != nil {
		t.Fatal(err)
	}
}
