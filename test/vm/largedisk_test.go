//go:build vm && full

package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// largeBytes is the size of the large disk on the medium, and the most that it may cost of dom0's memory.
const (
	largeBytes = 20e9
	largeMost  = 2e6
)

// diskConfig is a guest with a disk on the medium that it may write to.
const diskConfig = `kernel = "dom0"
ramdisk = "initrd.img"
extra = "console=hvc0 zerodisc.guest quiet cryptomgr.notests"
memory = 160
vif = [ '' ]
disk = [ 'disk.img,raw,xvda,rw' ]
`

// diskGuest makes a guest with a disk of so many bytes, all of it a hole but its first bytes, which are the name.
func diskGuest(t *testing.T, name string, bytes int64) string {
	t.Helper()
	dir := guestDir(t, t.TempDir(), name)
	write(t, filepath.Join(dir, name+".cfg"), diskConfig)
	disk := filepath.Join(dir, "disk.img")
	write(t, disk, name)
	if err := os.Truncate(disk, bytes); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestLargeDisk boots from a CD with a guest's disk of 20 GB. The guest writes to it at once, past its budget, while
// another guest goes on working. That one's budget holds when stage2 has crashed, too.
func TestLargeDisk(t *testing.T) {
	large, small := diskGuest(t, "large", largeBytes), diskGuest(t, "small", 400<<20)
	iso := remaster(t, "cmdline = zerodisc.toram=no zerodisc.budget=256M\ntimeout = 1\n", large, small)
	Story(t, qemu.Machine{ISO: iso, MemoryMiB: 3072}, func(m *VM) {
		m.Wait(`msg=ready guests=4`, bootLimit)
		for _, name := range []string{"large", "small"} {
			t.Logf("%s ran after %s ms", name, m.Wait(`msg="guest running" guest=`+name, soon).Get("ms"))
		}
		m.Shell("xl destroy tty1; xl destroy tty2") // they would only take the emulator's time
		m.Run("past the budget", (*VM).checkPastBudget)
		m.Run("what a large disk costs", (*VM).checkCost)
		m.Run("a budget after a crash", (*VM).checkBudgetAfterCrash)
		m.checkPowerOff(typePowerOff)
	})
}

// TestTrays changes a disc in a drive for another one, and opens the tray with the boot medium by force while a guest
// has its disk there.
func TestTrays(t *testing.T) {
	iso := remaster(t, "cmdline = zerodisc.toram=no\ntimeout = 1\n", diskGuest(t, "small", 8<<20))
	one, two := disc(t, "disc-one"), disc(t, "disc-two")
	machine := qemu.Machine{ISO: iso, Disks: []qemu.Disk{{File: one, Device: "ide-cd,bus=ahci.1"}}}
	Story(t, machine, func(m *VM) {
		m.Wait(`msg=ready guests=3`, bootLimit)
		m.Wait(`msg="`+boot.MsgStorage+`" label=disc-one`, addressLimit)
		m.Shell("xl destroy tty1; xl destroy tty2") // they would only take the emulator's time
		m.Wait(`msg="guest address" guest=small`, addressLimit)
		m.Run("another disc", func(m *VM) { m.checkOtherDisc(two) })
		m.Run("the tray is opened by force", func(m *VM) { m.checkForcedTray(iso) })
		m.checkPowerOff(typePowerOff)
	})
}

// disc makes a disc without a guest.
func disc(t *testing.T, label string) string {
	t.Helper()
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "disc.iso")
	write(t, filepath.Join(dir, "name"), label+"\n")
	tool(t, "genisoimage", "-quiet", "-R", "-V", label, "-o", file, dir)
	return file
}

// fill has a guest write so many MB to its disk, in the background, and leaves its console.
func (m *VM) fill(guest string, mb int) {
	m.Enter("xl console " + guest)
	m.Enter("")
	m.Enter("echo 1 > /proc/sys/kernel/printk") // else it says of each request that it has failed
	write := fmt.Sprintf("dd if=/dev/zero of=/dev/xvda bs=1000000 seek=1 count=%d", mb)
	m.Enter("(" + write + "; sync -data /dev/xvda || touch /failed) &")
	m.leaveConsole(guest)
}

// checkFull has a guest that has filled its budget read what is on its disk.
func (m *VM) checkFull(guest string) {
	m.Enter("xl console " + guest)
	m.Enter("")
	m.Until("its write has failed", addressLimit, func() bool {
		m.Enter("ls /failed") // u-root's ls leaves the directory out
		return m.Said(`^(\$ )?failed`)
	})
	m.FromNow().Enter("echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/xvda bs=5 count=1")
	m.WaitText(`^(\$ )?`+guest, soon)
	m.leaveConsole(guest)
}

// checkPastBudget has a guest write 1,000 MB at a budget of 256, and another one write and read meanwhile.
func (m *VM) checkPastBudget() {
	m.Wait(`msg="guest address" guest=large`, addressLimit)
	m.Wait(`msg="guest address" guest=small`, addressLimit)
	m.fill("large", 1000)
	m.Enter("xl console small")
	m.Enter("")
	m.Enter("dd if=/dev/urandom of=/random bs=65536 count=160")
	m.Enter("dd if=/random of=/dev/xvda bs=65536 seek=160; sync -data /dev/xvda; echo 3 > /proc/sys/vm/drop_caches")
	m.Enter("dd if=/dev/xvda of=/back bs=65536 skip=160 count=160; cmp /random /back && echo it is there")
	m.WaitText("^it is there", addressLimit)
	if m.Said(`msg="` + boot.MsgGuestDiskFull) {
		m.Errorf("the large guest had filled its budget before the small one was done")
	}
	m.leaveConsole("small")
	m.Wait(`msg="`+boot.MsgGuestDiskFull+`" guest=large`, addressLimit)
	m.checkFull("large")
	m.t.Log(m.Shell("status"))
	if m.Said(`guest=small .*err=`) || m.Said("(?i)out of memory|invoked oom-killer") {
		m.Errorf("the other guest or dom0 was hit")
	}
}

// checkBudgetAfterCrash kills stage2, and has a guest fill its budget, which somebody else watches then.
func (m *VM) checkBudgetAfterCrash() {
	now := m.FromNow()
	m.Shell("xl create /media/boot/guests/small/small.cfg")
	now.Wait(`msg="guest address" guest=small`, addressLimit)
	m.Enter("kill -9 " + m.Stage2())
	now.Wait(`msg="init crashed"`, soon)
	now.WaitText("emergency shell", soon)
	m.ForgetShell()
	m.fill("small", 390)
	now.Wait(`msg="`+boot.MsgGuestDiskFull+`" guest=small`, addressLimit)
	m.checkFull("small")
}

// checkOtherDisc changes the disc in the second drive.
func (m *VM) checkOtherDisc(other string) {
	now := m.FromNow()
	m.do("blockdev-change-medium", map[string]any{"device": "disk0", "filename": other, "format": "raw", "force": true})
	now.Wait(`msg="`+boot.MsgStorageGone+`" device=/dev/sr1`, soon)
	found := now.Wait(`msg="`+boot.MsgStorage+`" label=disc-two`, soon)
	if got := m.Shell("cat " + found.Get("mount") + "/name"); strings.TrimSpace(got) != "disc-two" {
		m.Errorf("the disc says %q", got)
	}
}

// checkForcedTray opens the tray with the medium while guests use it, and puts it back.
func (m *VM) checkForcedTray(iso string) {
	now := m.FromNow()
	m.do("eject", map[string]any{"device": "medium", "force": true})
	gone := now.Wait(`msg="`+boot.MsgMedium+`" state=gone`, soon)
	if gone.Get("guests") != "small" {
		m.Errorf("%v", gone)
	}
	m.do("blockdev-change-medium", map[string]any{"device": "medium", "filename": iso, "format": "raw"})
	now.Wait(`msg="`+boot.MsgMedium+`" mount=/media/boot`, soon)
	m.Enter("xl console small")
	m.Enter("")
	m.FromNow().Enter("echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/xvda bs=5 count=1")
	m.WaitText(`^(\$ )?small`, soon)
	m.leaveConsole("small")
}

var available = regexp.MustCompile(`MemAvailable: +(\d+) kB`)

// available is how much memory dom0 has left once it is quiet, bytes.
func (m *VM) available() int64 {
	m.t.Helper()
	said := m.Shell("sleep 3; echo 3 > /proc/sys/vm/drop_caches; cat /proc/meminfo")
	found := available.FindStringSubmatch(said)
	if found == nil {
		m.Fatalf("/proc/meminfo is %q", said)
	}
	kib, err := strconv.ParseInt(found[1], 10, 64)
	if err != nil {
		m.Fatalf("%v", err)
	}
	return kib << 10
}

// checkCost compares what dom0's memory has left with a guest that has a large disk, and with one that has a small one.
func (m *VM) checkCost() {
	m.Shell("xl destroy large; xl destroy small")
	costs := map[string][]int64{}
	for range 3 {
		for _, name := range []string{"tty1", "small", "large"} {
			before := m.available()
			m.Shell(fmt.Sprintf("xl create -p /media/boot/guests/%[1]s/%[1]s.cfg", name))
			costs[name] = append(costs[name], before-m.available())
			m.Shell("xl destroy " + name)
		}
	}
	median := map[string]int64{}
	for name, list := range costs {
		slices.Sort(list)
		median[name] = list[1]
	}
	m.t.Logf("bytes of dom0's memory: %v, medians %v", costs, median)
	if cost := median["large"] - median["tty1"]; cost > largeMost {
		m.Errorf("a disk of 20 GB costs %d bytes of dom0's memory, want %d at most", cost, int64(largeMost))
	}
}
