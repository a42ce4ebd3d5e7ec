//go:build vm && full

package vm

import (
	"fmt"
	"regexp"
)

// checkKeys has the keys of the board and of the machine's screens do what docs/console.md says. Those that end the
// machine only ask.
func (m *VM) checkKeys() {
	first, second := guests[0], guests[1]
	m.hit("1", "GUEST +STATE", "?", "restart this machine")
	m.hit("1", "power this machine off", "any", "GUEST +STATE")
	for _, way := range [][2]string{{"down", "up"}, {"j", "k"}, {"pgdn", "pgup"}} {
		m.hit("1", first+": running", way[0], second+": running")
		m.hit("1", second+": running", way[1], first+": running")
	}
	m.hit("1", "", "R", "Restart this machine.*y/n")
	m.hit("1", "", "n", "GUEST +STATE.*P power off")
	m.hit("1", "", "P", "Power off this machine.*y/n")
	m.hit("1", "", "n", "GUEST +STATE.*P power off")
	m.orderByKeys(first, second)
	m.readByKeys(first)
	m.Run("consoles on the screen", (*VM).checkKeysOfConsoles)
}

// keyNames are QEMU's for what a person would type.
var keyNames = map[string][]string{
	"?": {"shift", "slash"}, "any": {"spc"}, "!": {"shift", "1"}, "R": {"shift", "r"}, "P": {"shift", "p"},
	"enter": {"ret"}, "Ctrl-]": {"ctrl", "bracket_right"}, "Ctrl-5": {"ctrl", "5"},
}

// hit waits for a text on a screen, presses a key, and waits for another. Texts are regular expressions.
func (m *VM) hit(screen, before, key, after string) {
	m.t.Helper()
	if before != "" {
		m.untilScreen(screen, before)
	}
	if keys := keyNames[key]; keys != nil {
		m.press(keys...)
	} else {
		m.press(key)
	}
	m.untilScreen(screen, after)
}

// orderByKeys orders the first guest about, which is the chosen one, and leaves it running.
func (m *VM) orderByKeys(first, second string) {
	both := map[string]string{first: "running", second: "running"}
	m.hit("1", "", "p", first+" +paused")
	m.agree("after p", map[string]string{first: "paused", second: "running"})
	m.hit("1", "", "t", "is paused and cannot shut down")
	m.hit("1", "", "p", first+" +running")
	m.agree("after p once more", both)

	m.FromNow().press("r")
	for _, event := range []string{"stopped", "running", "address"} {
		m.Wait(fmt.Sprintf(`msg="guest %s" guest=%s`, event, first), stopLimit)
	}
	m.agree("after r", both)

	m.hit("1", "", "d", "Destroy "+first+"[?].*y/n")
	m.hit("1", "", "n", first+" +running.*P power off")
	m.hit("1", "", "d", "Destroy "+first+"[?].*y/n")
	m.hit("1", "", "y", first+" +stopped")
	m.agree("after d", map[string]string{second: "running"})
	m.hit("1", "", "enter", first+" does not run: s starts it")
	m.FromNow().press("s")
	address := m.Wait(`msg="guest address" guest=`+first, stopLimit).Get("address")
	m.untilScreen("1", first+" +running +"+regexp.QuoteMeta(address))
}

// readByKeys reads what the first guest has written, and the host's messages.
func (m *VM) readByKeys(first string) {
	m.hit("1", "", "l", "What "+first+" has written to its console.*This is "+first)
	for range 20 { // many lines
		m.press("pgup")
	}
	m.hit("1", "lines 1 to ", "q", "GUEST +STATE")
	m.hit("1", "", "m", "Messages.*msg=")
	m.hit("1", "", "q", "GUEST +STATE")
}

// checkKeysOfConsoles goes from the board to the first guest's console, to a shell, to the log and to the screen of the
// second guest, and comes back from each.
func (m *VM) checkKeysOfConsoles() {
	for _, leave := range []string{"Ctrl-]", "Ctrl-5"} {
		m.hit("1", "GUEST +STATE", "enter", "The console of "+guests[0]+". Ctrl-. leaves it")
		m.typeOnScreen("hostname")
		m.untilScreen("1", "hostname +"+guests[0])
		m.hit("1", "", leave, "GUEST +STATE")
	}
	m.hit("1", "", "!", `^\$ `)
	m.typeOnScreen("exit")
	m.untilScreen("1", "GUEST +STATE")
	m.showScreen(12)
	m.untilScreen("12", "msg=")
	m.showScreen(3)
	m.typeOnScreen("hostname")
	m.untilScreen("3", "hostname +"+guests[1])
	m.showScreen(1)
	m.untilScreen("1", "GUEST +STATE")
}

// typeOnScreen types letters, and Enter.
func (m *VM) typeOnScreen(letters string) {
	m.t.Helper()
	for _, letter := range letters {
		m.press(string(letter))
	}
	m.press("ret")
}
