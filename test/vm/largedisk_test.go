//go:build vm && full

package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
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
disk = [ '%s,raw,xvda,rw' ]
`

// diskGuest makes a guest with a disk of so many bytes, all of it a hole but its first bytes, which are the name.
func diskGuest(t *testing.T, name string, bytes int64) string {
	t.Helper()
	dir := guestDir(t, t.TempDir(), name)
	write(t, filepath.Join(dir, name+".cfg"), fmt.Sprintf(diskConfig, "disk.img"))
	disk := filepath.Join(dir, "disk.img")
	write(t, disk, name)
	if err := os.Truncate(disk, bytes); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestLargeDisk boots from a CD with a guest's disk of 20 GB. The guest writes to it at once, past its budget, while
// another guest goes on working. That one's budget holds when stage2 has crashed, too. A spare guest has the large disk
// as well.
func TestLargeDisk(t *testing.T) {
	large, small := diskGuest(t, "large", largeBytes), diskGuest(t, "small", 400<<20)
	spare := guestDir(t, t.TempDir(), "spare")
	write(t, filepath.Join(spare, "spare.cfg"), fmt.Sprintf(diskConfig, boot.MediaMount+"/guests/large/disk.img"))
	iso := remaster(t, "cmdline = zerodisc.toram=no zerodisc.budget=256M,spare:16M\ntimeout = 1\n", large, small, spare)
	Story(t, qemu.Machine{ISO: iso, MemoryMiB: 3072}, func(m *VM) {
		m.Wait(`msg=ready guests=5`, bootLimit)
		for _, name := range []string{"tty1", "small", "large"} {
			t.Logf("%s ran after %s ms", name, m.Wait(`msg="guest running" guest=`+name, soon).Get("ms"))
		}
		m.Shell("xl destroy tty2")
		m.Run("what a large disk costs", (*VM).checkCost)
		m.Run("past the budget", (*VM).checkPastBudget)
		m.Run("a budget after a crash", (*VM).checkBudgetAfterCrash)
		m.checkPowerOff(typePowerOff)
	})
}

// fill has a guest write so many MB to its disk, in the background, and leaves its console.
func (m *VM) fill(guest string, mb int) {
	m.Enter("xl console " + guest)
	m.Enter("")
	m.Enter("echo 1 > /proc/sys/kernel/printk") // else it says of each request that it has failed
	write := fmt.Sprintf("dd if=/dev/zero of=/dev/xvda bs=1000000 seek=1 count=%d", mb)
	m.Enter("(" + write + "; sync -data /dev/xvda || touch /failed) &")
	m.leaveConsole()
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
	m.leaveConsole()
}

// checkPastBudget has a guest write 1,000 MB at a budget of 256, and another one write and read meanwhile.
func (m *VM) checkPastBudget() {
	m.Wait(`msg="guest address" guest=large`, addressLimit)
	m.Wait(`msg="guest address" guest=small`, addressLimit)
	m.fill("large", 1000)
	m.Enter("xl console small")
	m.Enter("")
	m.Enter("(dd if=/dev/urandom of=/random bs=65536 count=160; dd if=/random of=/dev/xvda bs=65536 seek=160; " +
		"sync -data /dev/xvda; echo 3 > /proc/sys/vm/drop_caches; " +
		"dd if=/dev/xvda of=/back bs=65536 skip=160 count=160; cmp /random /back && echo it is there) &")
	m.leaveConsole() // dom0's lines wait while it is open
	m.Until("the small guest is done", addressLimit, func() bool { return m.guestSaid("small", "it is there") })
	if m.Said(`msg="` + boot.MsgGuestDiskFull) {
		m.Errorf("the large guest had filled its budget before the small one was done")
	}
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
	m.Enter("kill -9 " + m.Stage2())
	now.Wait(`msg="init crashed"`, soon)
	now.Wait(`msg="`+boot.MsgResumed+`"`, bootLimit)
	m.ForgetShell()
	m.fill("small", 390)
	now.Wait(`msg="`+boot.MsgGuestDiskFull+`" guest=small`, addressLimit)
	m.checkFull("small")
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

// checkCost compares what dom0's memory gets back from a guest that has the large disk, and from one that has none.
func (m *VM) checkCost() {
	before := m.available()
	m.Shell("xl destroy tty1")
	between := m.available()
	m.Shell("xl destroy spare")
	without, with := between-before, m.available()-between
	m.t.Logf("a guest without a disk gave back %d bytes, one with a disk of 20 GB %d", without, with)
	if cost := with - without; cost > largeMost {
		m.Errorf("a disk of 20 GB costs %d bytes of dom0's memory, want %d at most", cost, int64(largeMost))
	}
}
