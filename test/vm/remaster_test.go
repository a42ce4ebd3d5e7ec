//go:build vm

package vm

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// mkiso runs mkiso from the sources and returns what it says.
func mkiso(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"run", "./cmd/mkiso"}, args...)...)
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// remaster makes a disc of the image under test: with settings, and with the guests in a directory if
// that is not empty.
func remaster(t *testing.T, settings, guestDir string) string {
	t.Helper()
	dir := t.TempDir()
	config, iso := filepath.Join(dir, "settings.txt"), filepath.Join(dir, "remastered.iso")
	write(t, config, settings)
	image, err := filepath.Abs(Image())
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"add", image, "-config", config, "-o", iso}
	if guestDir != "" {
		args = append(args, "-guest", guestDir)
	}
	if out, err := mkiso(t, args...); err != nil {
		t.Fatalf("mkiso %s: %v\n%s", qemu.Quote(args), err, out)
	}
	return iso
}

// TestRemastered boots a disc to which a guest and settings were added, on the other firmware and medium
// than the disc itself was booted with before.
func TestRemastered(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "third")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "third.cfg"), `kernel = "dom0"
ramdisk = "initrd.img"
extra = "console=hvc0 zerodisc.guest quiet cryptomgr.notests"
memory = 96
vif = [ '' ]
`)
	image, err := filepath.Abs(Image())
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "initrd.img"), tool(t, "isoinfo", "-i", image, "-R", "-x", "/guests/tty1/initrd.img"))
	iso := remaster(t, "cmdline = zerodisc.hostname=rack7\ntimeout = 1\n", dir)
	m := Boot(t, qemu.Machine{ISO: iso, Medium: qemu.USB, Firmware: qemu.UEFI})
	m.Wait("msg=ready guests=3", bootLimit)
	address := m.Wait(`msg="guest address" guest=third`, addressLimit).Get("address")
	if page := m.Fetch(address, soon); !strings.Contains(page, "third") {
		t.Errorf("the page of the guest that was added is\n%s", page)
	}
	if got := m.Shell("hostname"); got != "rack7" {
		t.Errorf("the host's name is %q, the settings say rack7", got)
	}
}

// withoutXen is a machine that boots iso into Linux without Xen. It has one processor: with two, QEMU's
// emulation now and then runs a breakpoint that Linux has already taken out of its code again (it patches
// itself by them), which ended 2 boots of 54 in "Oops: int3".
func withoutXen(iso string) qemu.Machine { return qemu.Machine{ISO: iso, CPUs: 1} }

// TestCheckMedium lets a disc with one flipped bit check itself, and mkiso verify too: both name the file.
func TestCheckMedium(t *testing.T) {
	iso := remaster(t, "default = check\ntimeout = 0\n", "")
	image, err := os.ReadFile(iso)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(image, []byte("build id  "))
	if at < 0 {
		t.Fatal("the image has no BUILT")
	}
	image[at] ^= 1
	write(t, iso, string(image))
	if out, err := mkiso(t, "verify", iso); err == nil || !strings.Contains(out, "BUILT") {
		t.Errorf("mkiso verify: %v\n%s", err, out)
	}
	m := Boot(t, withoutXen(iso))
	if damaged := m.Wait("msg=\""+boot.MsgFileDamaged+"\"", bootLimit); damaged.Get("file") != "BUILT" {
		t.Errorf("the file %q is damaged, want BUILT", damaged.Get("file"))
	}
	if checked := m.Wait("msg=\""+boot.MsgMediumChecked+"\"", bootLimit); checked.Get("damaged") != "1" {
		t.Errorf("%s files are damaged, want 1", checked.Get("damaged"))
	}
	m.WaitText("p +power off", soon)
	m.Type("p\r")
	m.WaitOff(stopLimit)
}

// TestRescue boots the entry that is for other people's machines: a shell, no Xen, no network.
func TestRescue(t *testing.T) {
	m := Boot(t, withoutXen(remaster(t, "default = rescue\ntimeout = 0\n", "")))
	if links := m.Shell("ip link"); !strings.Contains(links, "eth0") {
		t.Errorf("no driver for the network card:\n%s", links)
	}
	if addresses := m.Shell("ip addr"); strings.Contains(addresses, "10.0.2.") {
		t.Errorf("the rescue shell asked for an address:\n%s", addresses)
	}
	m.Enter("poweroff")
	m.WaitOff(stopLimit)
}

// TestBareGuest boots the demo's guest without Xen.
func TestBareGuest(t *testing.T) {
	m := Boot(t, withoutXen(remaster(t, "default = bare\ntimeout = 0\n", "")))
	address := m.Wait("msg=\""+boot.MsgGuestAddress+"\"", bootLimit).Get("address")
	if page := m.Fetch(address, soon); !strings.Contains(page, address) {
		t.Errorf("its page is\n%s", page)
	}
	m.Enter("poweroff")
	m.WaitOff(stopLimit)
}
