//go:build vm

package vm

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// withoutXen is a machine that boots iso into Linux without Xen. It has one processor: there is nothing to do for a
// second one, and "Oops: int3" cannot come (see breakages).
func withoutXen(iso string) qemu.Machine { return qemu.Machine{ISO: iso, CPUs: 1} }

// The menu's entries without Xen are started as the default of a remastered disc.
const (
	defaultCheck  = "default = check\ntimeout = 0\n"
	defaultRescue = "default = rescue\ntimeout = 0\n"
	defaultBare   = "default = bare\ntimeout = 0\n"
)

// TestCheckMedium lets a disc with one flipped bit check itself, and mkiso verify too: both name the file. Its shell is
// behind the password.
func TestCheckMedium(t *testing.T) {
	t.Parallel()
	iso := remaster(t, defaultCheck+withPassword)
	flipBit(t, iso, "build id  ")
	if out, err := mkiso(t, "verify", iso); err == nil || !strings.Contains(out, "BUILT") {
		t.Errorf("mkiso verify: %v\n%s", err, out)
	}
	Story(t, withoutXen(iso), func(m *VM) {
		if damaged := m.Wait(`msg="`+boot.MsgFileDamaged+`"`, bootLimit); damaged.Get("file") != "BUILT" {
			m.Errorf("the file %q is damaged, want BUILT", damaged.Get("file"))
		}
		if checked := m.Wait(`msg="`+boot.MsgMediumChecked+`"`, bootLimit); checked.Get("damaged") != "1" {
			m.Errorf("%s files are damaged, want 1", checked.Get("damaged"))
		}
		m.WaitText("p +power off", soon)
		m.Type("s\r")
		m.giveRootPassword()
		m.FromNow().Type("exit\r") // Enter would type another return, which restarts the machine
		m.WaitText("p +power off", soon)
		m.Type("p\r")
		m.WaitOff(stopLimit)
	})
}

// flipBit damages the image at the first place that has text.
func flipBit(t *testing.T, iso, text string) {
	t.Helper()
	image, err := os.ReadFile(iso)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(image, []byte(text))
	if at < 0 {
		t.Fatalf("the image has no %q", text)
	}
	image[at] ^= 1
	write(t, iso, string(image))
}

// TestRescue boots the entry that is for other people's machines: a shell, no Xen, no network until somebody
// asks for it. The shell is behind the password.
func TestRescue(t *testing.T) {
	t.Parallel()
	Story(t, withoutXen(remaster(t, defaultRescue+withPassword)), func(m *VM) {
		m.giveRootPassword()
		if links := m.Shell("ip link"); !strings.Contains(links, "eth0") {
			m.Errorf("no driver for the network card:\n%s", links)
		}
		if addresses := m.Shell("ip addr"); strings.Contains(addresses, "10.0.2.") {
			m.Errorf("the rescue shell asked for an address:\n%s", addresses)
		}
		m.checkDevices()
		said := m.Shell("dhclient -ipv6=false eth0")
		if addresses := m.Shell("ip addr"); !strings.Contains(addresses, "10.0.2.15/24") {
			m.Errorf("dhclient got no address:\n%s\n%s", said, addresses)
		}
		m.Enter("poweroff")
		m.WaitOff(stopLimit)
	})
}

// TestBareGuest boots the demo's guest without Xen.
func TestBareGuest(t *testing.T) {
	t.Parallel()
	Story(t, withoutXen(remaster(t, defaultBare)), func(m *VM) {
		address := m.Wait(`msg="`+boot.MsgGuestAddress+`"`, bootLimit).Get("address")
		if page := m.Fetch(address, soon); !strings.Contains(page, address) {
			m.Errorf("its page is\n%s", page)
		}
		m.Enter("poweroff")
		m.WaitOff(stopLimit)
	})
}
