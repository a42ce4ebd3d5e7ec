//go:build vm

package vm

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// mkisoProgram is mkiso, compiled from the sources once in a process.
var mkisoProgram = sync.OnceValues(func() (string, error) {
	program := filepath.Join(scratch, "mkiso")
	if out, err := exec.Command("go", "build", "-o", program, "../../cmd/mkiso").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build mkiso: %w\n%s", err, out)
	}
	return program, nil
})

// mkiso runs mkiso and returns what it says.
func mkiso(t *testing.T, args ...string) (string, error) {
	t.Helper()
	program, err := mkisoProgram()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// remaster makes a disc of the image under test: with settings, and with the guests in directories.
func remaster(t *testing.T, settings string, guestDirs ...string) string {
	t.Helper()
	dir := t.TempDir()
	config, iso := filepath.Join(dir, "settings.txt"), filepath.Join(dir, "remastered.iso")
	write(t, config, settings)
	image, err := filepath.Abs(Image())
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"add", image, "-config", config, "-o", iso}
	for _, dir := range guestDirs {
		args = append(args, "-guest", dir)
	}
	if out, err := mkiso(t, args...); err != nil {
		t.Fatalf("mkiso %s: %v\n%s", qemu.Quote(args), err, out)
	}
	return iso
}

// guestDir makes a guest's directory: one more of the demo's guests.
func guestDir(t *testing.T, parent, name string) string {
	t.Helper()
	dir := filepath.Join(parent, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, name+".cfg"), `kernel = "dom0"
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
	return dir
}

// listGuests writes the list of a directory's files that docs/guests.md asks for, and returns its sum.
func listGuests(t *testing.T, dir string) (sum string) {
	t.Helper()
	list := tool(t, "sh", "-c", `cd "$0" && find -L . -type f ! -name SHA256SUMS -exec sha256sum {} +`, dir)
	write(t, filepath.Join(dir, "SHA256SUMS"), list)
	return fmt.Sprintf("%x", sha256.Sum256([]byte(list)))
}

// TestRemastered boots a disc to which a guest and settings were added from a stick under UEFI, on the newer
// board, with a paravirtual NIC. The stick has got a partition of its owner since. The settings name a web
// server that has two more guests, one of them damaged.
func TestRemastered(t *testing.T) {
	t.Parallel()
	iso := remaster(t, storeSettings(t), guestDir(t, t.TempDir(), "third"))
	machine := qemu.Machine{
		ISO: withLaterPartition(t, iso), Medium: qemu.USB, Firmware: qemu.UEFI, Board: "q35",
		NICs: []qemu.NIC{{Model: "virtio-net-pci"}},
	}
	Story(t, machine, func(m *VM) {
		m.Wait(`msg=ready guests=3`, bootLimit)
		for _, name := range append(slices.Clone(guests), "third", "fourth") {
			address := m.Wait(`msg="guest address" guest=`+name, addressLimit).Get("address")
			if page := m.Fetch(address, soon); !strings.Contains(page, name) {
				m.Errorf("the page of %s is\n%s", name, page)
			}
		}
		refused := m.Wait(`msg="`+boot.MsgGuestRefused+`" guest=fifth`, addressLimit)
		if !strings.Contains(refused.Get("err"), "SHA-256") {
			m.Errorf("the guest with a damaged file is refused because of %s", refused.Get("err"))
		}
		if got := m.Shell("hostname"); got != "rack7" {
			m.Errorf("the host's name is %q, the settings say rack7", got)
		}
	})
}

// storeSettings are settings with a host name and a web server that has two guests, the second one damaged.
func storeSettings(t *testing.T) string {
	t.Helper()
	web := t.TempDir()
	guestDir(t, web, "fourth")
	damaged := guestDir(t, web, "fifth")
	sum := listGuests(t, web)
	write(t, filepath.Join(damaged, "initrd.img"), "not what the list says")
	return fmt.Sprintf(`cmdline = zerodisc.hostname=rack7 zerodisc.guests=http://10.0.2.2:%d/ zerodisc.guests-sha256=%s
timeout = 1
`, serveHTTP(t, http.FileServer(http.Dir(web))), sum)
}
