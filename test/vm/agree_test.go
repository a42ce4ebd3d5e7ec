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

// checkAgree does to guests by hand what a person may do with xl, and checks after each that status and guest say the
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

// checkOrders does the same with guest, which says how it went by its exit status. It leaves the guests as it found
// them: the second is called web and does not run.
func (m *VM) checkOrders() {
	first, both := guests[0], map[string]string{guests[0]: "running", "web": "running"}
	m.FromNow()
	for i, step := range []struct {
		command, says string
		want          map[string]string
	}{
		{"guest start web", "web: started", both},
		{"guest start web", `guest "web" is there already`, both},
		{"guest pause web", "web: paused", map[string]string{first: "running", "web": "paused"}},
		{"guest stop web", "is paused and cannot shut down", map[string]string{first: "running", "web": "paused"}},
		{"guest resume web", "web: resumed", both},
		{"guest restart web", "web: restarted", both},
		{"guest rename web www", "web: is called www", map[string]string{first: "running", "www": "running"}},
		{"guest rename www web", "www: is called web", both},
		{"guest stop nobody", `there is no guest "nobody"`, both},
		{"guest destroy web", "web: destroyed", map[string]string{first: "running"}},
	} {
		if said := m.Shell(step.command); !strings.Contains(said, step.says) {
			m.Errorf("%s: %s", step.command, said)
		}
		m.agree("after "+step.command, step.want)
		if i == 0 { // a guest that has not booted yet is not there to say that it restarts
			m.Wait(fmt.Sprintf(`msg=%q guest=web`, boot.MsgGuestAddress), addressLimit)
		}
	}
	if status := m.Shell("guest stop nobody; echo status $?"); !strings.Contains(status, "status 3") {
		m.Errorf("no such guest: %s", status)
	}
	// Its line itself looks like one of dom0's, which Shell leaves out.
	if count := m.Shell("guest logs web | grep -c action=reboot"); count != "1" {
		m.Errorf("the console of a guest that was restarted once says so %s times", count)
	}
}

// order runs a command that has to succeed.
func (m *VM) order(command string) {
	m.t.Helper()
	if said := m.Shell(command + "; echo status $?"); !strings.HasSuffix(said, "status 0") {
		m.Errorf("%s: %s", command, said)
	}
}

// agree waits until xl list, status and guest list say that the guests are in these states.
func (m *VM) agree(when string, want map[string]string) {
	m.t.Helper()
	m.Until("xl list, status and guest list agree "+when, agreeLimit, func() bool {
		return maps.Equal(xlStates(m.Shell("xl list")), want) &&
			maps.Equal(statusStates(m.Shell("status")), want) && maps.Equal(guestStates(m.Shell("guest list")), want)
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

// guestStates are the guests that guest list shows as there.
func guestStates(table string) map[string]string {
	states := map[string]string{}
	for _, line := range regexp.MustCompile(`(?m)^(\S+) +(running|paused) `).FindAllStringSubmatch(table, -1) {
		states[line[1]] = line[2]
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
