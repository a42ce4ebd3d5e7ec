//go:build vm && full

package vm

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/boot"
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
	names := append([]string{}, guests...)
	for i := range manyGuests - len(guests) {
		names = append(names, fmt.Sprintf("many%02d", i))
	}
	machine := qemu.Machine{ISO: buildWithMany(t, names[len(guests):]), MemoryMiB: 4096, CPUs: 2}
	Story(t, machine, func(m *VM) {
		m.Wait(fmt.Sprintf(`msg=ready guests=%d`, manyGuests), manyLimit)
		start := m.created(names)
		m.awaitAddresses(names)
		m.t.Logf("created within %v, dom0's memory:\n%s", start, m.Shell("free -m"))
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
func (m *VM) rebootAtRandom(names []string, times int) {
	var order []string
	for range times {
		order = append(order, names...)
	}
	rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	for _, name := range order {
		m.Until(name+" can be rebooted", manyLimit, func() bool {
			return regexp.MustCompile(`Rebooting domain`).MatchString(m.Shell("xl reboot " + name))
		})
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Millisecond)
	}
	want := map[string]string{}
	for _, name := range names {
		want[name] = "running"
	}
	m.Until("every guest has rebooted", manyLimit, func() bool {
		q := console.Query{"msg": boot.MsgGuestStopped}
		return len(m.Console.Events(m.mark, q)) >= times*len(names)
	})
	m.agree("after the reboots", want)
}

// buildWithMany builds an image that has more guests like the demo's.
func buildWithMany(t *testing.T, names []string) string {
	t.Helper()
	store := t.TempDir()
	for _, name := range names {
		config := fmt.Sprintf(`name = %q
kernel = "dom0"
ramdisk = "/media/boot/guests/tty1/initrd.img"
extra = "console=hvc0 zerodisc.guest quiet cryptomgr.notests"
memory = 96
vif = [ '' ]
on_crash = "restart"
`, name)
		dir := filepath.Join(store, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".cfg"), []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	iso := filepath.Join(t.TempDir(), "many-guests.iso")
	if out, err := mkiso(t, "-offline", "-guests", store, "-o", iso); err != nil {
		t.Fatalf("build an image with many guests: %v\n%s", err, out)
	}
	return iso
}
