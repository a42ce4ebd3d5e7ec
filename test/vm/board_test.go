//go:build vm

package vm

import "regexp"

// checkBoard stops and starts the first guest with the board's keys, and goes to a shell and back.
func (m *VM) checkBoard(addresses []string) {
	for i, guest := range guests {
		m.untilScreen("1", guest+` +running +`+regexp.QuoteMeta(addresses[i]))
	}
	m.press("t")
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

// press presses keys together.
func (m *VM) press(keys ...string) {
	m.t.Helper()
	if err := m.Press(keys...); err != nil {
		m.fail("press a key", err)
	}
}
