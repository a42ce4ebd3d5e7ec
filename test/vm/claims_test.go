//go:build vm

package vm

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
)

// guests are the two that come with the disc.
var guests = []string{"tty1", "tty2"}

// waitGuests waits for ready and until every guest on the disc runs and has an address, and
// returns the addresses in the order of guests.
func (m *VM) waitGuests() []string {
	m.t.Helper()
	m.Wait(`msg=ready guests=2`, bootLimit)
	return m.waitAddresses()
}

// waitAddresses waits until every guest on the disc runs and has an address, and returns the addresses in the
// order of guests.
func (m *VM) waitAddresses() []string {
	m.t.Helper()
	var addresses []string
	for _, guest := range guests {
		m.Wait(`msg="guest running" guest=`+guest, soon)
		address := m.Wait(`msg="guest address" guest=`+guest, addressLimit).Get("address")
		addresses = append(addresses, address)
	}
	if addresses[0] == addresses[1] {
		m.Errorf("both guests say they have %s", addresses[0])
	}
	return addresses
}

// checkPages fetches the guests' pages from outside. dom0 may hear a guest's address on the bridge a moment before
// the guest itself takes it into use.
func (m *VM) checkPages(addresses []string) {
	m.t.Helper()
	for i, guest := range guests {
		m.Until(fmt.Sprintf("the page of %s says its name and %s", guest, addresses[i]), soon, func() bool {
			page := m.Fetch(addresses[i], soon)
			return strings.Contains(page, guest) && strings.Contains(page, addresses[i])
		})
	}
}

// checkType checks that the guests are of the type that fits the processor, by what init says and
// by what Xen's own tool says.
func (m *VM) checkType(want string) {
	m.t.Helper()
	for _, guest := range guests {
		if got := m.Wait(`msg="guest running" guest=`+guest, soon).Get("type"); got != want {
			m.Errorf("guest %s: type=%s, want %s", guest, got, want)
		}
		// A guest that the emulator has ended is about to be made anew.
		m.Until(fmt.Sprintf("xl list -l %s knows the type %s", guest, want), soon, func() bool {
			return strings.Contains(m.Shell("xl list -l "+guest), `"type": "`+want+`"`)
		})
	}
}

// checkListed checks xl's table of domains.
func (m *VM) checkListed(names ...string) {
	m.t.Helper()
	table := m.Shell("xl list")
	for _, name := range append([]string{"Domain-0"}, names...) {
		if !regexp.MustCompile(`(?m)^` + name + `\s+\d+\s`).MatchString(table) {
			m.Errorf("xl list does not show %s:\n%s", name, table)
		}
	}
}

// checkOneLineEach checks that what happens once is said once.
func (m *VM) checkOneLineEach() {
	m.Once(`msg=ready`)
	for _, guest := range guests {
		m.Once(`msg="guest running" guest=` + guest)
		m.Once(`msg="guest address" guest=` + guest)
	}
}

// checkMedium checks that the boot medium, or its copy in memory, is mounted where it should be and cannot be written
// to.
func (m *VM) checkMedium() {
	m.t.Helper()
	mounts := m.Shell("cat /proc/mounts")
	if !regexp.MustCompile(`(?m)^\S+ ` + boot.MediaMount + ` (iso9660|tmpfs) ro[, ]`).MatchString(mounts) {
		m.Errorf("the medium is not mounted read-only at %s:\n%s", boot.MediaMount, mounts)
	}
	if list := m.Shell("ls " + boot.MediaMount); !strings.Contains(list, boot.MediumReadme) {
		m.Errorf("%s has no README:\n%s", boot.MediaMount, list)
	}
}

// checkPowerOff asks for power off and checks that the guests that run are shut down first and that the
// machine then goes off by itself.
func (m *VM) checkPowerOff(ask func(*VM), running ...string) {
	m.t.Helper()
	ask(m.FromNow())
	m.Wait(`msg=`+boot.MsgEnding, soon)
	for _, guest := range running {
		m.Wait(`msg="guest stopped" guest=`+guest, stopLimit)
	}
	m.WaitOff(stopLimit)
}

// typePowerOff asks for power off in the shell.
func typePowerOff(m *VM) { m.Enter("poweroff") }

// pressPowerButton asks for power off as a person at the machine does.
func pressPowerButton(m *VM) {
	if err := m.PowerButton(); err != nil {
		m.fail("press the power button", err)
	}
}
