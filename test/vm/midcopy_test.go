//go:build vm && full

package vm

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// TestPullMidCopy pulls the stick while it is copied to memory: the host lives, and gives back what the copy had taken.
// When it is plugged in again it is copied from the beginning, and the guest has its disk.
func TestPullMidCopy(t *testing.T) {
	t.Parallel()
	dir := guestDir(t, t.TempDir(), "web")
	write(t, filepath.Join(dir, "web.cfg"), strings.Replace(pulledConfig, ", 'packed.qcow2,qcow2,xvdb,r'", "", 1))
	raw := filepath.Join(dir, "disk.img")
	write(t, raw, strings.Repeat("what is on the medium\n", 5<<20)[:96<<20])
	sum := checksum(t, raw)
	iso := remaster(t, "cmdline = zerodisc.toram=yes\ntimeout = 1\n", dir)
	Story(t, qemu.Machine{ISO: iso, Medium: qemu.USB, MemoryMiB: 1536}, func(m *VM) {
		m.Wait(`msg="guest running" guest=web`, bootLimit)
		m.do("block_set_io_throttle", map[string]any{
			"device": "medium", "bps": 4 << 20, "bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0,
		})
		m.Wait(`msg="`+boot.MsgMedium+`" state=copying`, bootLimit)
		m.pull("stick")
		if gone := m.Wait(`msg="`+boot.MsgMedium+`" state=gone`, soon); gone.Get("guests") != "web" {
			m.Errorf("%v", gone)
		}
		m.Shell("xl destroy tty1; xl destroy tty2") // they would only take the emulator's time
		m.Until("the copy is given up", soon, func() bool {
			return !strings.Contains(m.Shell("cat /proc/mounts"), boot.NextMediumDir)
		})
		if said := m.Shell("status"); !strings.Contains(said, "was pulled out: plug it in again") {
			m.Errorf("status: %s", said)
		}
		now := m.FromNow()
		m.plugIn(iso, "again")
		now.Wait(`msg="`+boot.MsgMedium+`" mount=/media/boot`, soon)
		now.Wait(`msg="`+boot.MsgMedium+`" state=removable`, bootLimit)
		m.pull("again")
		m.Wait(`msg="guest address" guest=web`, addressLimit)
		m.Enter("xl console web")
		m.Enter("")
		m.Enter("echo 3 > /proc/sys/vm/drop_caches")
		m.Enter("shasum -a 256 /dev/xvda")
		m.WaitText(sum+" /dev/xvda", addressLimit)
		m.leaveConsole()
		m.checkPowerOff(typePowerOff)
	})
}
