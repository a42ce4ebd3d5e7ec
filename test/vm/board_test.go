//go:build vm

package vm

import (
	"regexp"
	"time"
)

// board is what the screen shows, its lines one after the other: the kernel's own copy of its text.
func (m *VM) board() string { return m.Shell("cat /dev/vcs1; echo") }

// awaitBoard waits until the screen shows what matches.
func (m *VM) awaitBoard(what, pattern string) {
	m.t.Helper()
	re := regexp.MustCompile(pattern)
	m.Until("the board shows "+what, soon, func() bool { return re.MatchString(m.board()) })
}

// checkBoard stops and starts the first guest with the board's keys, and goes to a shell and back.
func (m *VM) checkBoard(addresses []string) {
	for i, guest := range guests {
		m.awaitBoard(guest, guest+` +running +`+regexp.QuoteMeta(addresses[i]))
	}
	m.press("t")
	m.awaitBoard("that the guest has stopped", guests[0]+` +stopped`)
	m.checkListed(guests[1:]...)
	m.press("s")
	m.awaitBoard("that the guest runs", guests[0]+` +running +`+regexp.QuoteMeta(addresses[0]))
	m.press("f10")
	m.awaitBoard("a shell", `\$ `)
	m.press("e")
	m.press("x")
	m.press("i")
	m.press("t")
	m.press("ret")
	m.awaitBoard("itself again", `GUEST +STATE`)
}

// press presses a key.
func (m *VM) press(key string) {
	m.t.Helper()
	if err := m.Press(key); err != nil {
		m.fail("press "+key, err)
	}
	time.Sleep(100 * time.Millisecond) // it is down for as long
}
