//go:build vm

package vm

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// Deadlines for TCG on two busy cores; a healthy machine needs a fraction of each.
const (
	bootLimit    = 180 * time.Second // power-on to ready
	addressLimit = 90 * time.Second  // ready to a guest's address
	stopLimit    = 120 * time.Second // a request to power off, with guests, to power off; after 60 s guests are destroyed
	soon         = 30 * time.Second  // an answer of a host that is up
)

// guests are the two that come with the disc.
var guests = []string{"tty1", "tty2"}

// waitGuests waits for ready and until every guest on the disc runs and has an address, and
// returns the addresses in the order of guests.
func (m *VM) waitGuests(t *testing.T) []string {
	t.Helper()
	m.Wait("msg=ready guests=2", bootLimit)
	var addresses []string
	for _, guest := range guests {
		m.Wait(`msg="guest running" guest=`+guest, soon)
		address := m.Wait(`msg="guest address" guest=`+guest, addressLimit).Get("address")
		addresses = append(addresses, address)
	}
	if addresses[0] == addresses[1] {
		t.Errorf("both guests say they have %s", addresses[0])
	}
	return addresses
}

// checkPages fetches the guests' pages from outside.
func (m *VM) checkPages(t *testing.T, addresses []string) {
	t.Helper()
	for i, guest := range guests {
		page := m.Fetch(addresses[i], soon)
		for _, want := range []string{guest, addresses[i]} {
			if !strings.Contains(page, want) {
				t.Errorf("page of %s at %s does not say %q:\n%s", guest, addresses[i], want, page)
			}
		}
	}
}

// checkType checks that the guests are of the type that fits the processor, by what init says and
// by what Xen's own tool says.
func (m *VM) checkType(t *testing.T, want string) {
	t.Helper()
	for _, guest := range guests {
		if got := m.Wait(`msg="guest running" guest=`+guest, soon).Get("type"); got != want {
			t.Errorf("guest %s: type=%s, want %s", guest, got, want)
		}
		long := m.Shell("xl list -l " + guest)
		if !regexp.MustCompile(`"type": "` + want + `"`).MatchString(long) {
			t.Errorf("xl list -l %s knows no type %s:\n%s", guest, want, long)
		}
	}
}

// checkListed checks xl's table of domains.
func (m *VM) checkListed(t *testing.T, names ...string) {
	t.Helper()
	table := m.Shell("xl list")
	for _, name := range append([]string{"Domain-0"}, names...) {
		if !regexp.MustCompile(`(?m)^` + name + `\s+\d+\s`).MatchString(table) {
			t.Errorf("xl list does not show %s:\n%s", name, table)
		}
	}
}

// TestBIOSDisc is the demo: a disc in a BIOS machine, and everything that a person would try there.
func TestBIOSDisc(t *testing.T) {
	m := Boot(t, qemu.Machine{Firmware: qemu.BIOS, Medium: qemu.CD})
	addresses := m.waitGuests(t)
	t.Run("each line once", func(t *testing.T) {
		m := m.In(t)
		m.Once("msg=ready")
		for _, guest := range guests {
			m.Once(`msg="guest running" guest=` + guest)
			m.Once(`msg="guest address" guest=` + guest)
		}
	})
	t.Run("pages", func(t *testing.T) { m.In(t).checkPages(t, addresses) })
	t.Run("PV guests", func(t *testing.T) { m.In(t).checkType(t, "pv") })
	t.Run("xl list", func(t *testing.T) { m.In(t).checkListed(t, guests...) })
	t.Run("medium read-only", func(t *testing.T) { m.In(t).checkMedium(t) })
	t.Run("script", func(t *testing.T) {
		if got := m.In(t).Shell("echo 'echo $((6*7))' > /tmp/script; sh /tmp/script"); got != "42" {
			t.Errorf("sh ran a script to %q, want 42", got)
		}
	})
	t.Run("guest console", func(t *testing.T) { m.In(t).checkGuestConsole(t, addresses[0]) })
	t.Run("xenconsoled killed", func(t *testing.T) { m.In(t).checkXenconsoled(t) })
	t.Run("guest by hand", func(t *testing.T) { m.In(t).checkByHand(t) })
	t.Run("power off with guests", func(t *testing.T) { m.In(t).checkPowerOff(func(m *VM) { m.Enter("poweroff") }) })
}

// checkMedium checks that the boot medium is mounted where it should be and cannot be written to.
func (m *VM) checkMedium(t *testing.T) {
	t.Helper()
	mounts := m.Shell("cat /proc/mounts")
	if !regexp.MustCompile(`(?m)^\S+ ` + boot.MediaMount + ` iso9660 ro[, ]`).MatchString(mounts) {
		t.Errorf("the medium is not mounted read-only at %s:\n%s", boot.MediaMount, mounts)
	}
	if list := m.Shell("ls " + boot.MediaMount); !strings.Contains(list, "README") {
		t.Errorf("%s has no README:\n%s", boot.MediaMount, list)
	}
}

// checkGuestConsole goes to the first guest's console, talks to its shell and comes back.
func (m *VM) checkGuestConsole(t *testing.T, address string) {
	t.Helper()
	m.FromNow().Enter("xl console " + guests[0])
	m.WaitText(regexp.QuoteMeta(address), soon) // the banner
	time.Sleep(2 * time.Second)                 // what is typed while xenconsole takes the terminal over is torn apart
	m.FromNow().Enter("hostname")
	m.WaitText(`^(\$ )*`+guests[0]+`\s*$`, soon) // the prompt may come first
	time.Sleep(2 * time.Second)                  // Ctrl-] leaves, but only where xenconsole reads it by itself
	m.Type("\x1d")
	time.Sleep(2 * time.Second)
	m.ForgetShell()
	m.checkListed(t, guests...)
}

// checkByHand destroys the second guest and creates it again with xl.
func (m *VM) checkByHand(t *testing.T) {
	t.Helper()
	guest := guests[1]
	m.FromNow().Shell("xl destroy " + guest)
	m.Wait(`msg="guest stopped" guest=`+guest, soon)
	m.FromNow().Shell("xl create " + boot.GuestRunDir + "/" + guest + ".cfg")
	m.Wait(`msg="guest running" guest=`+guest, soon)
	address := m.Wait(`msg="guest address" guest=`+guest, addressLimit).Get("address")
	if report := m.Shell("status"); !regexp.MustCompile(guest + ` +running +` + regexp.QuoteMeta(address)).MatchString(report) {
		t.Errorf("the report does not show %s as running at %s:\n%s", guest, address, report)
	}
}

// checkXenconsoled kills the console daemon and checks that another one takes its place.
func (m *VM) checkXenconsoled(t *testing.T) {
	t.Helper()
	before := m.Shell("pidof xenconsoled")
	m.Shell("kill -9 " + before)
	for deadline := time.Now().Add(soon); ; time.Sleep(time.Second) {
		after := m.Shell("pidof xenconsoled")
		if regexp.MustCompile(`^\d+$`).MatchString(after) && after != before {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("xenconsoled %s was killed; %v later there is %q", before, soon, after)
		}
	}
}

// checkPowerOff asks for power off and checks that the guests are shut down first and that the
// machine then goes off by itself.
func (m *VM) checkPowerOff(ask func(*VM)) {
	m.t.Helper()
	ask(m.FromNow())
	m.Wait("msg="+boot.MsgEnding, soon)
	for _, guest := range guests {
		m.Wait(`msg="guest stopped" guest=`+guest, stopLimit)
	}
	m.WaitOff(stopLimit)
}

// TestUEFIDisc boots a disc under UEFI and ends it with the power button.
func TestUEFIDisc(t *testing.T) {
	m := Boot(t, qemu.Machine{Firmware: qemu.UEFI, Medium: qemu.CD})
	addresses := m.waitGuests(t)
	t.Run("pages", func(t *testing.T) { m.In(t).checkPages(t, addresses) })
	t.Run("power button", func(t *testing.T) {
		m.In(t).checkPowerOff(func(m *VM) {
			if err := m.PowerButton(); err != nil {
				m.t.Fatal(err)
			}
		})
	})
}

// TestSmallHost boots a stick, which has got a partition of its owner since, in a machine with 512 MB, and reboots it from the keyboard.
func TestSmallHost(t *testing.T) {
	m := Boot(t, qemu.Machine{ISO: withLaterPartition(t, Image()), Firmware: qemu.BIOS, Medium: qemu.USB, MemoryMiB: 512})
	m.waitGuests(t)
	t.Run("Ctrl-Alt-Del", func(t *testing.T) {
		m := m.In(t).FromNow()
		for range 3 { // as a keyboard repeats it that is held down
			if err := m.Press("ctrl", "alt", "delete"); err != nil {
				t.Fatal(err)
			}
		}
		for _, guest := range guests {
			if forced := m.Wait(`msg="guest stopped" guest=`+guest, stopLimit).Get("forced"); forced != "false" {
				t.Errorf("guest %s stopped with forced=%s", guest, forced)
			}
		}
		m.WaitText(`GRUB`, stopLimit+soon)
	})
}

// TestNoNIC boots without a network and then crashes stage2: the machine stays, with a shell that
// says what happened.
func TestNoNIC(t *testing.T) {
	m := Boot(t, qemu.Machine{NICs: []qemu.NIC{}})
	m.Wait("msg=ready guests=2", bootLimit)
	t.Run("guests run", func(t *testing.T) { m.In(t).checkListed(t, guests...) })
	t.Run("stage2 killed", func(t *testing.T) {
		m := m.In(t)
		stage2 := m.Stage2()
		m.FromNow().Enter("kill -9 " + stage2)
		m.Wait(`msg="init crashed"`, soon)
		m.WaitText("emergency shell", soon)
		m.ForgetShell()
		if got := m.Shell("cat /proc/1/comm"); got != "init" {
			t.Errorf("process 1 is %q", got)
		}
		if again := m.Shell("cat /proc/" + stage2 + "/cmdline"); strings.Contains(again, "stage2") {
			t.Errorf("process %s is still stage2", stage2)
		}
		m.checkListed(t, guests...)
	})
	t.Run("power off after the crash", func(t *testing.T) {
		m := m.In(t)
		m.Enter("poweroff")
		m.WaitOff(stopLimit)
	})
}

// TestNoDHCPServer boots on a network where nobody answers: the console says so and the guests
// start all the same.
func TestNoDHCPServer(t *testing.T) {
	m := Boot(t, qemu.Machine{NICs: []qemu.NIC{{Net: qemu.NoServer}}})
	m.Wait("msg=ready guests=2", bootLimit)
	m.Wait(`msg="no DHCP lease"`, addressLimit)
	m.checkListed(t, guests...)
}

// TestSecondNIC boots with two NICs of which only the second leads to a DHCP server.
func TestSecondNIC(t *testing.T) {
	m := Boot(t, qemu.Machine{NICs: []qemu.NIC{{Net: qemu.NoServer}, {Net: qemu.UserNet}}})
	m.Wait("msg=ready guests=2", bootLimit)
	m.Wait(`msg="host address"`, addressLimit)
	m.checkPages(t, m.waitGuests(t))
}

// TestNetboot starts machines from the network: by GRUB on both firmwares, by iPXE on BIOS. Everything
// is in the initrd then.
func TestNetboot(t *testing.T) {
	for _, test := range []struct {
		name    string
		machine qemu.Machine
	}{
		{"PXE BIOS", qemu.Machine{BootFile: "pxe-bios.0"}},
		{"PXE UEFI", qemu.Machine{BootFile: "pxe-uefi.efi", Firmware: qemu.UEFI, NICs: []qemu.NIC{{Model: "virtio-net-pci"}}}},
		{"iPXE BIOS", qemu.Machine{BootFile: "boot.ipxe"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.machine.ISO, test.machine.Medium = Netboot(), qemu.PXE
			m := Boot(t, test.machine)
			m.checkPages(t, m.waitGuests(t))
			if mounts := m.Shell("cat /proc/mounts"); strings.Contains(mounts, boot.MediaMount) {
				t.Errorf("a medium is mounted:\n%s", mounts)
			}
		})
	}
}

// TestPVHGuests boots a processor with hardware virtualisation: guests run as PVH. Under emulation one
// ends in a triple fault now and then, in one boot of five; it restarts, as its on_crash says.
func TestPVHGuests(t *testing.T) {
	m := Boot(t, qemu.Machine{CPU: qemu.PVH})
	addresses := m.waitGuests(t)
	m.checkPages(t, addresses)
	m.checkType(t, "pvh")
	m.checkPowerOff(func(m *VM) { m.Enter("poweroff") })
}

// brokenGuests are guests that must be refused: name, configuration, what becomes of it on the disc,
// as if the disc were damaged, because mkiso itself takes no broken guest, and what the refusal
// has to mention.
var brokenGuests = []struct{ name, cfg, on, mention string }{
	{"badsyntax", "name = \"badsyntax\"\nkernel = \"dom0\"\nmemory = 96\n", "name = \"badsyntax \nkernel = \"dom0\"\nmemory = 96\n", "badsyntax.cfg:1"},
	{"nokernel", "name = \"nokernel\"\nkernel = \"nokernel.cfg\"\nmemory = 96\n", "name = \"nokernel\"\nkernel = \"missing_.img\"\nmemory = 96\n", "missing_.img"},
	{"toolarge", "name = \"toolarge\"\nkernel = \"dom0\"\nmemory = 65536\n", "", "65536"},
}

// TestBrokenGuests boots a disc with three broken guests beside the two good ones: each is
// refused, with its file and a reason, and the good ones start.
func TestBrokenGuests(t *testing.T) {
	m := Boot(t, qemu.Machine{ISO: buildWithGuests(t)})
	addresses := m.waitGuests(t)
	m.checkPages(t, addresses)
	for _, broken := range brokenGuests {
		t.Run(broken.name, func(t *testing.T) {
			m := m.In(t)
			refusal := m.Wait(fmt.Sprintf("msg=%q guest=%s", boot.MsgGuestRefused, broken.name), soon)
			if said := refusal.Get("file") + " " + refusal.Get("err"); !strings.Contains(said, broken.mention) {
				t.Errorf("refusal %q does not mention %s", said, broken.mention)
			}
			if strings.Contains(m.Shell("xl list"), broken.name) {
				t.Errorf("guest %s was refused and exists", broken.name)
			}
		})
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
	mkiso := exec.Command("go", "run", "./cmd/mkiso", "-offline", "-guests", store, "-o", iso)
	mkiso.Dir = filepath.Join("..", "..")
	if out, err := mkiso.CombinedOutput(); err != nil {
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
