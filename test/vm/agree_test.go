//go:build vm

package vm

import (
	"fmt"
	"maps"
	"regexp"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/boot"
)

// agreeLimit is how long status may lag behind xl: a look at Xen's list comes every 10 s.
const agreeLimit = time.Minute

// checkAgree does to guests by hand what a person may do with xl, and checks after each that status says the
// same as xl list.
func (m *VM) checkAgree() {
	first, second := guests[0], guests[1]
	m.agree("after the boot", map[string]string{first: "running", second: "running"})

	m.FromNow().Shell("xl reboot " + first)
	m.Wait(fmt.Sprintf(`msg=%q guest=%s`, boot.MsgGuestStopped, first), stopLimit)
	m.Wait(fmt.Sprintf(`msg=%q guest=%s`, boot.MsgGuestRunning, first), stopLimit)
	m.Wait(fmt.Sprintf(`msg=%q guest=%s`, boot.MsgGuestAddress, first), addressLimit)
	m.agree("after a reboot", map[string]string{first: "running", second: "running"})

	m.Shell("xl pause " + second)
	m.agree("paused", map[string]string{first: "running", second: "paused"})
	m.Shell("xl unpause " + second)
	m.Shell("xl rename " + second + " web")
	m.agree("renamed", map[string]string{first: "running", "web": "running"})

	m.FromNow().Shell("xl destroy web")
	m.Wait(fmt.Sprintf(`msg=%q guest=web`, boot.MsgGuestStopped), stopLimit)
	m.agree("killed", map[string]string{first: "running"})
}

// agree waits until xl list and status both say that the guests are in these states.
func (m *VM) agree(when string, want map[string]string) {
	m.t.Helper()
	m.Until("xl list and status agree "+when, agreeLimit, func() bool {
		return maps.Equal(xlStates(m.Shell("xl list")), want) && maps.Equal(statusStates(m.Shell("status")), want)
	})
}

// xlStates are the guests in the table of xl list, "running" or "paused".
func xlStates(table string) map[string]string {
	states := map[string]string{}
	for _, line := range regexp.MustCompile(`(?m)^(\S+) +\d+ +\d+ +\d+ +(\S{6}) `).FindAllStringSubmatch(table, -1) {
		state := "running"
		if strings.Contains(line[2], "p") {
			state = "paused"
		}
		if line[1] != "Domain-0" {
			states[line[1]] = state
		}
	}
	return states
}

// statusStates are the guests that status shows as there.
func statusStates(report string) map[string]string {
	states := map[string]string{}
	for _, line := range regexp.MustCompile(`(?m)^ +guest (\S+) +(running|paused)`).FindAllStringSubmatch(report, -1) {
		states[line[1]] = line[2]
	}
	return states
}
