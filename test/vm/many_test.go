//go:build vm && full

package vm

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/testns"
	"github.com/zerodisc/zerodisc/test/vm/console"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// manyGuests is how many guests TestManyGuests runs, the demo's two included.
const manyGuests = 20

// manyLimit is how long all of them may take to do something. Twenty kernels start on one emulated processor.
const manyLimit = 40 * time.Minute

// TestManyGuests runs twenty guests of 96 MB on a host with 4 GB: all are created and addressed, none is lost when
// each is rebooted twice at random, and all are shut down in the end.
func TestManyGuests(t *testing.T) {
	testns.Run(t, syscall.CLONE_NEWNET, bootMany) // QEMU's own DHCP server has sixteen addresses
}

func bootMany(t *testing.T) {
	makeTap(t, "tap0", "192.168.77.1/24")
	defer startServer(t, "tap0", "192.168.77.100-192.168.77.199").stop()
	names := append([]string{}, guests...)
	for i := range manyGuests - len(guests) {
		names = append(names, fmt.Sprintf("many%02d", i))
	}
	machine := qemu.Machine{
		ISO: buildWithMany(t, names[len(guests):]), MemoryMiB: 4096, NICs: []qemu.NIC{{Net: qemu.Tap("tap0")}},
	}
	Story(t, machine, func(m *VM) {
		m.Wait(fmt.Sprintf(`msg=ready guests=%d`, manyGuests), manyLimit)
		// Emulation is slow after each switch from one guest to another, which are a millisecond apart when all
		// are busy.
		m.Shell("xl sched-credit2 -s -p Pool-0 -r 30000")
		m.t.Logf("xl took %v to create them", m.created(names))
		m.awaitAddresses(names)
		m.t.Logf("dom0's memory:\n%s", m.Shell("free -m"))
		m.Run("reboots", func(m *VM) { m.rebootAtRandom(names, 2) })
		m.Run("power off", func(m *VM) {
			typePowerOff(m.FromNow())
			for _, name := range names {
				if forced := m.Wait(`msg="guest stopped" guest=`+name, manyLimit).Get("forced"); forced != "false" {
					m.Errorf("guest %s stopped with forced=%s", name, forced)
				}
			}
			m.WaitOff(stopLimit)
		})
	})
}

// created is how long the guests' creation took, one after the other.
func (m *VM) created(names []string) time.Duration {
	var all time.Duration
	for _, name := range names {
		ms, err := strconv.Atoi(m.Wait(`msg="guest running" guest=`+name, soon).Get("ms"))
		if err != nil {
			m.Fatalf("guest %s: ms: %v", name, err)
		}
		all += time.Duration(ms) * time.Millisecond
	}
	return all
}

// awaitAddresses waits until every guest has an address of its own.
func (m *VM) awaitAddresses(names []string) {
	m.t.Helper()
	owner := map[string]string{}
	for _, name := range names {
		address := m.Wait(`msg="guest address" guest=`+name, manyLimit).Get("address")
		if other := owner[address]; other != "" {
			m.Errorf("guests %s and %s both say they have %s", name, other, address)
		}
		owner[address] = name
	}
}

// rebootAtRandom reboots each guest a number of times, whatever the others are at, and checks that none is lost.
// Each has an address before it is rebooted again: two requests in a row may be for one reboot.
func (m *VM) rebootAtRandom(names []string, times int) {
	var order []string
	for range times {
		order = append(order, names...)
	}
	rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	lives := map[string]int{}
	for _, name := range order {
		lives[name]++
		m.awaitLives(name, lives[name])
		if said := m.Shell("xl reboot " + name); !strings.Contains(said, "Rebooting domain") {
			m.Errorf("reboot %s: %s", name, said)
		}
	}
	want := map[string]string{}
	for _, name := range names {
		m.awaitLives(name, 1+times)
		want[name] = "running"
	}
	m.agree("after the reboots", want)
}

// awaitLives waits until a guest has had an address in so many lives.
func (m *VM) awaitLives(name string, lives int) {
	m.t.Helper()
	addressed := console.Query{"msg": boot.MsgGuestAddress, "guest": name}
	m.Until(fmt.Sprintf("%s has an address in its life %d", name, lives), manyLimit, func() bool {
		return len(m.Console.Events(0, addressed)) >= lives
	})
}

// buildWithMany builds an image that has more guests like the demo's.
func buildWithMany(t *testing.T, names []string) string {
	t.Helper()
	iso := filepath.Join(t.TempDir(), "many-guests.iso")
	if out, err := mkiso(t, "-offline", "-guests", storeOfMany(t, names, ""), "-o", iso); err != nil {
		t.Fatalf("build an image with many guests: %v\n%s", err, out)
	}
	return iso
}

// storeOfMany makes a store of guests like the demo's with that vif.
func storeOfMany(t *testing.T, names []string, vif string) string {
	t.Helper()
	store := t.TempDir()
	for _, name := range names {
		dir := filepath.Join(store, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name+".cfg"), fmt.Sprintf(`name = %q
kernel = "dom0"
ramdisk = "/media/boot/guests/tty1/initrd.img"
extra = "console=hvc0 zerodisc.guest quiet cryptomgr.notests"
memory = 96
vif = [ %q ]
on_crash = "restart"
`, name, vif))
	}
	return store
}
