//go:build vm

package vm

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// pulledConfig is a guest of the medium that reads it in all ways: an image, one that a program of dom0's serves, and
// one below its changes.
const pulledConfig = `kernel = "dom0"
ramdisk = "initrd.img"
extra = "console=hvc0 zerodisc.guest quiet cryptomgr.notests"
memory = 160
vif = [ '' ]
disk = [ 'disk.img,raw,xvda,r', 'packed.qcow2,qcow2,xvdb,r', 'disk.img,raw,xvdc,rw' ]
`

// TestPullTheStick pulls the stick that the machine was booted from too early, plugs it in again, waits until it may be
// removed, and pulls it for good. The guest reads all of its disks and starts anew without it.
func TestPullTheStick(t *testing.T) {
	t.Parallel()
	dir := guestDir(t, t.TempDir(), "web")
	write(t, filepath.Join(dir, "web.cfg"), strings.Replace(pulledConfig, "rw' ]", "rw', 'odd.img,raw,xvdd,rw' ]", 1))
	raw := filepath.Join(dir, "disk.img")
	write(t, raw, strings.Repeat("what is on the medium\n", 400000)[:8<<20])
	odd := filepath.Join(dir, "odd.img") // Linux writes single sectors to it
	write(t, odd, strings.Repeat("o", 1<<20+512))
	tool(t, "qemu-img", "convert", "-c", "-O", "qcow2", raw, filepath.Join(dir, "packed.qcow2"))
	sum := checksum(t, raw)
	changed := filepath.Join(t.TempDir(), "changed.img")
	write(t, changed, strings.Repeat("o", 4096)+strings.Repeat("\x00", 4096)+strings.Repeat("o", 1<<20+512-8192))
	changedSum := checksum(t, changed)
	iso := remaster(t, "timeout = 1\n", dir)
	Story(t, qemu.Machine{ISO: iso, Medium: qemu.USB, MemoryMiB: 1536}, func(m *VM) {
		readAll := func() {
			m.Enter("xl console web")
			m.Enter("")
			m.Enter("echo 3 > /proc/sys/vm/drop_caches")
			for _, disk := range []string{"xvda", "xvdb", "xvdc"} {
				m.Enter("shasum -a 256 /dev/" + disk)
				m.WaitText(sum+" /dev/"+disk, soon)
			}
			m.Enter("shasum -a 256 /dev/xvdd")
			m.WaitText(changedSum+" /dev/xvdd", soon)
			m.leaveConsole()
		}
		m.Wait("msg=ready guests=3", bootLimit)
		m.pull("stick")
		if gone := m.Wait(`msg="`+boot.MsgMedium+`" state=gone`, soon); gone.Get("guests") != "web" {
			m.Errorf("%v", gone)
		}
		m.Shell("xl destroy tty1; xl destroy tty2") // they would only take the emulator's time
		m.Wait(`msg="guest address" guest=web`, addressLimit)
		m.Enter("xl console web")
		m.Enter("")
		m.Enter("dd if=/dev/xvda of=/dev/null bs=65536 || touch /unreadable")
		m.Enter("sleep 1; ls /unreadable") // the kernel has said what it has to say
		m.WaitText(`^(\$ )?unreadable`, soon)
		// A whole page is written, and then a sector, for which the rest of its page would have to be read.
		m.Enter("dd if=/dev/zero of=/dev/xvdd bs=4096 count=1 seek=1")
		m.Enter("dd if=/dev/zero of=/dev/xvdd bs=512 count=1 seek=80")
		m.leaveConsole() // dom0's lines wait while it is open
		m.WaitText(`guest=web disk=xvdd err="a write failed`, soon)
		now := m.FromNow()
		m.plugIn(iso, "again")
		now.Wait(`msg="`+boot.MsgMedium+`" mount=/media/boot`, soon)
		readAll()
		now.Wait(`msg="`+boot.MsgMedium+`" state=removable`, bootLimit)
		m.pull("again")
		readAll()
		now = m.FromNow()
		m.Enter("xl reboot web")
		now.Wait(`msg="guest running" guest=web`, bootLimit)
		now.Wait(`msg="guest address" guest=web`, addressLimit)
		m.Enter("status")
		m.WaitText("^  medium: /dev/sd., in RAM: it may be removed", soon)
		m.checkPowerOff(typePowerOff)
	})
}
