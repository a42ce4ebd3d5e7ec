//go:build vm && full

package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// fiftyMiB is the memory of TestFiftyGuests's host, fiftyNeedMiB how much of it QEMU needs: the rest is not touched.
const (
	fiftyMiB     = 16 << 10
	fiftyNeedMiB = 10 << 10
)

// fiftyNetwork is a private bridge: dom0 itself gives addresses away there.
const fiftyNetwork = `network: {bridges: {lan: {private: {address: 10.11.0.1/24, range: 10.11.0.50-10.11.0.200}}}}
`

// TestFiftyGuests runs fifty guests on a host with 16 GB, 48 of which were added to the disc: all are started and
// addressed, everybody lists all of them, and all are ended with the machine.
func TestFiftyGuests(t *testing.T) {
	if free := availableMiB(t); free < fiftyNeedMiB {
		t.Skipf("%d MiB of memory are free here, %d are needed", free, fiftyNeedMiB)
	}
	names := append([]string{}, guests...)
	for i := range 50 - len(guests) {
		names = append(names, fmt.Sprintf("one%02d", i))
	}
	machine := qemu.Machine{ISO: addMany(t, names[len(guests):]), MemoryMiB: fiftyMiB}
	Story(t, machine, func(m *VM) {
		m.Wait(`msg=ready guests=50`, manyLimit)
		m.awaitAddresses(names)
		m.t.Logf("dom0's memory:\n%s", m.Shell("free -m"))
		want := map[string]string{}
		for _, name := range names {
			want[name] = "running"
		}
		m.agree("of fifty guests", want)
		m.Run("board", func(m *VM) {
			for range 8 {
				m.press("pgdn")
			}
			m.untilScreen("1", `one4\d +running`) // the end of the list
		})
		m.Run("power off", func(m *VM) {
			typePowerOff(m.FromNow())
			for _, name := range names {
				m.Wait(`msg="guest stopped" guest=`+name, manyLimit)
			}
			m.WaitOff(stopLimit)
		})
	})
}

// addMany makes a disc of the image under test that has more guests, on a private bridge. A guest stays on a processor
// for longer than Xen lets it by itself: emulation is slow after each switch.
func addMany(t *testing.T, names []string) string {
	t.Helper()
	dir := t.TempDir()
	settings, network := filepath.Join(dir, "settings.txt"), filepath.Join(dir, "zerodisc.yaml")
	write(t, settings, "xen-cmdline = sched_ratelimit_us=30000\n")
	write(t, network, fiftyNetwork)
	image, err := filepath.Abs(Image())
	if err != nil {
		t.Fatal(err)
	}
	iso := filepath.Join(dir, "fifty-guests.iso")
	args := []string{
		"add", image, "-guest", storeOfMany(t, names, "bridge=lan"), "-config", settings, "-config", network, "-o", iso,
	}
	if out, err := mkiso(t, args...); err != nil {
		t.Fatalf("mkiso %s: %v\n%s", qemu.Quote(args), err, out)
	}
	return iso
}

// availableMiB is how much memory programs can have on this machine.
func availableMiB(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`MemAvailable: +(\d+) kB`).FindStringSubmatch(string(text))
	if found == nil {
		t.Fatalf("no MemAvailable in %s", strings.TrimSpace(string(text)))
	}
	kib, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	return kib >> 10
}
