//go:build vm

package vm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// keptConfig is a guest with two disks that it may write to, one of them an image in another format.
const keptConfig = `kernel = "dom0"
ramdisk = "initrd.img"
extra = "console=hvc0 zerodisc.guest quiet cryptomgr.notests"
memory = 128
vif = [ '' ]
disk = [ 'disk.img,raw,xvda,rw', 'disk.qcow2,qcow2,xvdb,rw' ]
`

// partitionAt is where zerodisc-state has its partition begin, as e2fsprogs want it.
const partitionAt = "?offset=1048576"

// emptyDisk makes a disk of so many MiB.
func emptyDisk(t *testing.T, name string, mib int64) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	write(t, file, "")
	if err := os.Truncate(file, mib<<20); err != nil {
		t.Fatal(err)
	}
	return file
}

// keptGuest makes a guest's directory.
func keptGuest(t *testing.T, name string) string {
	t.Helper()
	dir := guestDir(t, t.TempDir(), name)
	write(t, filepath.Join(dir, name+".cfg"), keptConfig)
	raw := filepath.Join(dir, "disk.img")
	write(t, raw, packed)
	tool(t, "qemu-img", "convert", "-c", "-O", "qcow2", raw, filepath.Join(dir, "disk.qcow2"))
	return dir
}

// TestState makes an empty disk the state volume and saves a guest there. At the next boot the guest is started from
// there with what it had written, and what it writes then stays as well.
func TestState(t *testing.T) {
	t.Parallel()
	file := emptyDisk(t, "state.img", 512)
	machine := qemu.Machine{
		ISO: remaster(t, "timeout = 1\n", keptGuest(t, "keep")), Disks: []qemu.Disk{{File: file}},
	}
	var hostKey string // of dom0's SSH server, which the volume keeps
	Story(t, machine, func(m *VM) {
		m.Wait(`msg=ready guests=3`, bootLimit)
		hostKey = m.Wait(`msg=`+boot.MsgSSH+` state=listening`, soon).Get("fingerprint")
		m.Shell("xl destroy tty1; xl destroy tty2") // they would only take the emulator's time
		m.Run("without a state volume", func(m *VM) {
			if said := m.Shell("guest disk save keep"); !strings.Contains(said, "zerodisc-state create DEVICE") {
				m.Errorf("disk save: %s", said)
			}
			if said := m.Shell("zerodisc-state create -yes /dev/sr0"); !strings.Contains(said, "is no disk") {
				m.Errorf("zerodisc-state create: %s", said)
			}
		})
		m.Run("a state volume is made", func(m *VM) {
			said := m.Shell("zerodisc-state create -yes /dev/vda")
			if !strings.Contains(said, "/dev/vda1 is the state volume, at "+boot.StateMount) {
				m.Errorf("zerodisc-state create: %s", said)
			}
			m.Wait(`msg=`+boot.MsgState+` device=/dev/vda1 mount=`+boot.StateMount, soon)
		})
		m.Wait(`msg="guest address" guest=keep`, addressLimit)
		m.Run("a guest is saved", func(m *VM) {
			m.writeInGuest("keep", "first")
			if said := m.Shell("guest disk save keep"); !strings.Contains(said, "saved guest keep") {
				m.Errorf("disk save: %s", said)
			}
			m.writeInGuest("keep", "never")
			said := m.Shell("guest disk save keep xvdb " + boot.StateMount + "/copy.img")
			if !strings.Contains(said, "saved") {
				m.Errorf("guest disk save of one disk: %s", said)
			}
		})
		m.checkPowerOff(typePowerOff)
	})
	checkState(t, file, map[string]string{
		"/guests/keep/xvda.img": "first-xvda", "/guests/keep/xvdb.img": "first-xvdb", "/copy.img": "never-xvdb",
	})
	Story(t, machine, func(m *VM) {
		m.Wait(`msg=`+boot.MsgState+` device=/dev/vda1 mount=`+boot.StateMount, bootLimit)
		m.Wait(`msg=ready guests=3`, bootLimit)
		if again := m.Wait(`msg=`+boot.MsgSSH+` state=listening`, soon).Get("fingerprint"); again != hostKey {
			m.Errorf("the host key is %s after a reboot, it was %s", again, hostKey)
		}
		m.Shell("xl destroy tty1; xl destroy tty2")
		m.Wait(`msg="guest address" guest=keep`, addressLimit)
		m.readInGuest("keep", "first")
		m.writeInGuest("keep", "second")
		if m.Said(`msg="` + boot.MsgGuestDisk + `" guest=keep`) {
			m.Errorf("its disks are not written to in place")
		}
		if said := m.Shell("zerodisc-state"); !strings.Contains(said, "guest keep") {
			m.Errorf("zerodisc-state: %s", said)
		}
		m.checkPowerOff(typePowerOff)
	})
	checkState(t, file, map[string]string{
		"/guests/keep/xvda.img": "second-xvda", "/guests/keep/xvdb.img": "second-xvdb",
	})
}

// keptDisks are the disks of keptConfig.
var keptDisks = []string{"xvda", "xvdb"}

// writeInGuest has a guest write a word to the beginning of its disks.
func (m *VM) writeInGuest(guest, word string) {
	m.Enter("xl console " + guest)
	m.Enter("")
	for _, disk := range keptDisks {
		m.Enter("echo " + word + "-" + disk + " | dd of=/dev/" + disk + " bs=512; sync; head -c 12 /dev/" + disk)
		m.WaitText("^"+word+"-"+disk, soon)
	}
	m.leaveConsole()
}

// readInGuest has a guest read the word at the beginning of its disks.
func (m *VM) readInGuest(guest, word string) {
	m.Enter("xl console " + guest)
	m.Enter("")
	for _, disk := range keptDisks {
		m.Enter("head -c 12 /dev/" + disk)
		m.WaitText(word+"-"+disk, soon)
	}
	m.leaveConsole()
}

// checkState checks the state volume on a disk.
func checkState(t *testing.T, file string, begin map[string]string) {
	t.Helper()
	checkVolume(t, file+partitionAt, begin)
}

// checkVolume checks a state volume that is not in use: it was unmounted, it is whole, and these files begin so.
func checkVolume(t *testing.T, volume string, begin map[string]string) {
	t.Helper()
	if out := tool(t, "dumpe2fs", "-h", volume); strings.Contains(out, "needs_recovery") {
		t.Errorf("it was not unmounted:\n%s", out)
	}
	tool(t, "e2fsck", "-fn", volume)
	for name, text := range begin {
		copied := filepath.Join(t.TempDir(), "copy")
		tool(t, "debugfs", "-R", "dump "+name+" "+copied, volume)
		data, err := os.ReadFile(copied)
		if err != nil || !strings.HasPrefix(string(data), text) || len(data) != 8<<20 {
			t.Errorf("%s: %v, %d bytes, begins with %.20q, want %q", name, err, len(data), data, text)
			continue
		}
		if want := strings.Repeat("what was there before\n", 400000)[512 : 8<<20]; string(data[512:]) != want {
			t.Errorf("%s: the rest of the disk has changed", name)
		}
	}
}
