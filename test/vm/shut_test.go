//go:build vm && full

package vm

import (
	"regexp"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// TestPassword boots a disc with a password, and tries every way past it that a keyboard has.
func TestPassword(t *testing.T) {
	t.Parallel()
	settings := strings.TrimSpace(withPassword) + " " + boot.KeyWatchdog + "=no\ntimeout = 0\n"
	Story(t, qemu.Machine{ISO: remaster(t, settings)}, func(m *VM) {
		addresses := m.waitGuests()
		m.Run("serial", (*VM).giveRootPassword)
		m.Run("ssh", func(m *VM) { m.checkPasswordLogin(addresses[0]) })
		m.Run("board and guests' screens", func(m *VM) { m.checkShutScreens(addresses) })
		m.Run("after a crash", func(m *VM) {
			stage2 := m.Stage2()
			m.FromNow().Enter("kill -9 " + stage2)
			m.giveRootPassword()
			m.checkListed(guests[1]) // the first one was stopped at the board
		})
		m.Run("no watchdog", (*VM).checkNoWatchdog)
		m.Run("emergency shell", (*VM).checkShutEmergency)
		m.Run("power off", func(m *VM) {
			m.Enter("poweroff")
			m.WaitOff(stopLimit)
		})
	})
}

// checkNoWatchdog checks that no watchdog runs, and that it is not for the lack of one: the kernel has Xen's.
func (m *VM) checkNoWatchdog() {
	off := regexp.MustCompile(`(?m)^watchdog +off +- .*switched off by watchdog.enabled \(kernel command line\)`)
	if list := m.Shell("services"); !off.MatchString(list) {
		m.Errorf("services does not say that the watchdog is off:\n%s", list)
	}
	if said := m.Shell("services start watchdog"); !strings.Contains(said, "switched off by watchdog.enabled") {
		m.Errorf("services start watchdog: %q", said)
	}
	if got := m.Shell("cat /sys/class/watchdog/*/identity /sys/class/watchdog/*/state"); got != "xen_wdt\ninactive" {
		m.Errorf("the kernel's watchdogs are %q", got)
	}
	whole := *m
	whole.mark = 0
	if whole.Said(`msg=` + boot.MsgWatchdog) {
		m.Errorf("a watchdog was started")
	}
}

// checkShutEmergency has init crash once more: its emergency shells are behind the password, on each console.
func (m *VM) checkShutEmergency() {
	stage2 := m.Stage2()
	m.FromNow().Enter("kill -9 " + stage2)
	m.Wait(`msg="`+boot.MsgCrashed+`"`, soon)
	m.giveRootPassword()
	m.WaitText("emergency shell", soon)
	if said := m.Shell("services"); !strings.Contains(said, "init does not run") {
		m.Errorf("services: %s", said)
	}
	m.untilScreen("1", "password for root:")
	m.checkListed(guests[1])
}

// checkShutScreens checks that the board takes no order and guests' screens no key before the password was given, and
// no one-time password is shown; and that one login opens them all.
func (m *VM) checkShutScreens(addresses []string) {
	m.showScreen(2)
	m.press("x")
	m.untilScreen("2", "locked: give the password on Alt-F1")
	m.showScreen(1)
	for _, key := range []string{"t", "f10", "d"} { // stop, shell, destroy
		m.FromNow().press(key)
		m.untilScreen("1", "password for root:")
		m.press("x")
		m.press("ret")
		m.Wait(`msg="`+boot.MsgWrongPassword+`" terminal=tty1`, soon)
		m.untilScreen("1", "GUEST +STATE")
	}
	m.checkPages(addresses)
	m.press("t")
	m.untilScreen("1", "password for root:")
	for _, keys := range [][]string{
		{"shift", "h"}, {"e"}, {"l"}, {"l"}, {"o"}, {"spc"}, {"w"}, {"o"}, {"r"}, {"l"}, {"d"}, {"shift", "1"}, {"ret"},
	} {
		m.press(keys...)
	}
	m.untilScreen("1", guests[0]+` +stopped`)
	m.showScreen(3)
	for _, key := range []string{"u", "n", "a", "m", "e", "ret"} {
		m.press(key)
	}
	m.untilScreen("3", "uname +Linux")
	m.showScreen(1)
}
