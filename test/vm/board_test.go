//go:build vm

package vm

import (
	"fmt"
	"regexp"
)

// checkBoard stops and starts the first guest with the board's keys, and goes to a shell and back.
func (m *VM) checkBoard(addresses []string) {
	for i, guest := range guests {
		m.untilScreen("1", guest+` +running +`+regexp.QuoteMeta(addresses[i]))
	}
	m.stopBehindBoard(guests[0])
	m.untilScreen("1", guests[0]+` +stopped`)
	m.checkListed(guests[1:]...)
	m.press("s")
	m.untilScreen("1", guests[0]+` +running +`+regexp.QuoteMeta(addresses[0]))
	m.press("f10")
	m.untilScreen("1", `^\$ `)
	for _, key := range []string{"e", "x", "i", "t", "ret"} {
		m.press(key)
	}
	m.untilScreen("1", `GUEST +STATE`)
}

// stopBehindBoard stops the guest that is chosen on the screen while the serial line shows a board, too. The line about
// that comes once the board is left.
func (m *VM) stopBehindBoard(guest string) {
	m.FromNow().Type("board\r") // Enter would type another return, which is a key of the board's
	m.WaitText(guest+` +running`, soon)
	m.press("t")
	m.WaitText(guest+` +stopped`, addressLimit)
	if m.Said(`msg="guest stopped"`) {
		m.Errorf("a line is written across the board:\n%s", m.Console.Tail(20))
	}
	m.Type("q")
	m.Wait(`msg="guest stopped" guest=`+guest, soon)
	m.ForgetShell()
}

// showScreen goes to a screen, whose keys are the next ones.
func (m *VM) showScreen(number int) {
	m.t.Helper()
	m.press("alt", fmt.Sprintf("f%d", number))
	m.Until(fmt.Sprintf("screen %d is in front", number), soon, func() bool {
		return m.Shell("cat /sys/class/tty/tty0/active") == fmt.Sprintf("tty%d", number)
	})
}

// press presses keys together.
func (m *VM) press(keys ...string) {
	m.t.Helper()
	if err := m.Press(keys...); err != nil {
		m.fail("press a key", err)
	}
}
