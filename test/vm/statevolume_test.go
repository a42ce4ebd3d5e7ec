//go:build vm && full

package vm

import (
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// TestStateComesAndGoes plugs a state volume in while the machine runs, pulls it with a guest on it, and plugs it in
// again.
func TestStateComesAndGoes(t *testing.T) {
	volume, _ := cutDisk(t)
	Story(t, qemu.Machine{ISO: remaster(t, "timeout = 1\n"), Medium: qemu.USB}, func(m *VM) {
		m.Wait(`msg=ready guests=2`, bootLimit)
		m.Shell("xl destroy tty1; xl destroy tty2") // they would only take the emulator's time
		now := m.FromNow()
		m.plugIn(volume, "first")
		now.Wait(`msg=`+boot.MsgState+` mount=`+boot.StateMount, soon)
		now.Wait(`msg="guest running" guest=keep`, bootLimit)
		m.Shell("echo kept > " + boot.StateMount + "/word; sync")
		m.pull("first")
		gone := now.Wait(`msg=`+boot.MsgState+` err="it was taken away"`, soon)
		if gone.Get("guests") != "keep" {
			m.Errorf("%v", gone)
		}
		m.Until("it is unmounted", soon, func() bool {
			return !strings.Contains(m.Shell("cat /proc/mounts"), boot.StateMount)
		})
		m.Shell("xl destroy keep")
		now = m.FromNow()
		m.do("blockdev-del", map[string]any{"node-name": "on-first"})
		m.plugIn(volume, "second")
		now.Wait(`msg=`+boot.MsgState+` mount=`+boot.StateMount, soon)
		if got := m.Shell("cat " + boot.StateMount + "/word"); got != "kept" {
			m.Errorf("what was written is %q", got)
		}
		m.checkPowerOff(typePowerOff)
	})
	checkVolume(t, volume, nil)
}
