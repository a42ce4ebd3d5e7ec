//go:build vm

package vm

import (
	"regexp"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
)

// checkCrash kills stage2 while somebody is logged in. Another one goes on: with dom0's lease, which it asks for anew,
// with guests, their screens, the board and the services, under the session that goes on as well.
func (m *VM) checkCrash() {
	c := m.newSSHClient()
	c.letIn()
	c.says("touch /tmp/session", "")
	session := make(chan string, 1)
	go func() {
		out, _ := c.run("", "ssh", sshRoot, "while test -e /tmp/session; do sleep 1; done; echo went on")
		session <- out
	}()
	daemons := m.Shell("pidof xenstored; pidof xenconsoled")

	now := m.FromNow()
	m.Enter("kill -9 " + m.Stage2())
	now.Wait(`msg="`+boot.MsgCrashed+`"`, soon)
	now.Wait(`msg="`+boot.MsgHostAddress+`"`, addressLimit)
	now.Wait(`msg="`+boot.MsgResumed+`" guests=2`, bootLimit)
	m.ForgetShell()
	if after := m.Shell("pidof xenstored; pidof xenconsoled"); after != daemons {
		m.Errorf("Xen's daemons were processes %q and are %q", daemons, after)
	}
	list := m.Shell("services")
	for _, name := range []string{"xenstored", "xenconsoled", "network", "kernel-log", "ntp", "orders", "api"} {
		if !regexp.MustCompile(`(?m)^` + name + ` +running`).MatchString(list) {
			m.Errorf("services does not show %s as running:\n%s", name, list)
		}
	}
	count := "services restart ntp; logs -source init | grep -c 'msg=\"" + boot.MsgCrashed + "\"'"
	if said := m.Shell(count); said != "1" {
		m.Errorf("an order, and how often the log has the crash: %q", said)
	}
	c.says("guest stop "+guests[1]+" && guest start "+guests[1]+" && guest list", guests[1])
	m.agree("after a crash", map[string]string{guests[0]: "running", guests[1]: "running"})
	m.untilScreen("1", `GUEST +STATE`)
	m.showScreen(2)
	for _, key := range []string{"p", "w", "d", "ret"} {
		m.press(key)
	}
	m.untilScreen("2", "pwd")
	m.showScreen(1)
	m.Shell("rm /tmp/session")
	if said := <-session; !strings.Contains(said, "went on") {
		m.Errorf("the session has said %q", said)
	}
}
