//go:build vm

package vm

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"regexp"
	"strings"
	"time"
)

// fault is something that goes wrong, or that somebody does. The console names it, no guest is lost, and dom0 can be
// reached.
type fault struct {
	name    string
	provoke func(*VM)
	line    string // that the console has then; "" where whoever provokes it sees it
	mend    func(*VM)
	mended  string // the line that says that it is over, "" for none
}

// faultLimit is how long it may take until a fault is named: time servers are silent for 30 s before that is.
const faultLimit = addressLimit

// checkFaults provokes faults, one after the other. addresses are the guests', in their order.
func (m *VM) checkFaults(addresses []string, faults []fault) {
	before := m.domains()
	for _, f := range faults {
		m.Run(f.name, func(m *VM) {
			f.provoke(m.FromNow())
			if f.line != "" {
				m.Wait(f.line, faultLimit)
			}
			if f.mend != nil {
				f.mend(m.FromNow())
			}
			if f.mended != "" {
				m.Wait(f.mended, faultLimit)
			}
			m.checkUnharmed(before, addresses)
		})
	}
}

// checkUnharmed checks that guests are the same as before and serve their pages, and that dom0 can be reached.
func (m *VM) checkUnharmed(before, addresses []string) {
	m.t.Helper()
	if now := m.domains(); strings.Join(now, " ") != strings.Join(before, " ") {
		m.Errorf("the guests' domains are %s, and were %s", now, before)
	}
	for i, address := range addresses {
		if page := m.Fetch(address, soon); !strings.Contains(page, guests[i]) {
			m.Errorf("the page of %s:\n%s", guests[i], page)
		}
	}
	m.Until("the SSH server answers", soon, m.sshAnswers)
}

// domains are the demo guests with the numbers of their domains.
func (m *VM) domains() []string {
	m.t.Helper()
	var domains []string
	table := m.Shell("xl list")
	for _, guest := range guests {
		domains = append(domains, regexp.MustCompile(`(?m)^`+guest+`\s+\d+`).FindString(table))
	}
	return domains
}

// sshAnswers says whether dom0's SSH server greets who connects.
func (m *VM) sshAnswers() bool {
	m.t.Helper()
	ctx, cancel := m.Within(soon)
	defer cancel()
	conn, err := (&net.Dialer{Timeout: soon}).DialContext(ctx, "tcp", m.sshPort(ctx))
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(soon))
	greeting, err := bufio.NewReader(conn).ReadString('\n')
	return err == nil && strings.HasPrefix(greeting, "SSH-2.0-")
}

// sshPort is where dom0's SSH server can be reached from here.
func (m *VM) sshPort(ctx context.Context) string {
	m.t.Helper()
	at, err := m.Forward(ctx, m.nic, m.dom0Address(), 22)
	if err != nil {
		m.fail("forward a port", err)
	}
	return at
}

// full fills file systems in memory, and makes room again.
func full(dirs ...string) fault {
	each := func(m *VM, command, state string) {
		for _, dir := range dirs {
			m.Shell(strings.ReplaceAll(command, "FILE", strings.TrimSuffix(dir, "/")+"/fill"))
		}
		for _, dir := range dirs {
			m.Wait(fmt.Sprintf(`msg="file system" dir=%s state=%s`, dir, state), faultLimit)
		}
	}
	return fault{
		name:    strings.Join(dirs, ", ") + " full",
		provoke: func(m *VM) { each(m, "dd if=/dev/zero of=FILE bs=1M count=1000", "full") },
		mend:    func(m *VM) { each(m, "rm FILE", "room") },
	}
}

// quickFaults are those that every run provokes.
var quickFaults = []fault{
	{name: "sshd killed", provoke: func(m *VM) { m.killService("sshd") }, line: `msg=daemon name=sshd state=waiting`},
	full("/run", "/tmp"), full("/"),
	{
		name: "dom0 out of memory", provoke: func(m *VM) { m.Shell("sort /dev/zero > /dev/null") },
		line: `msg="out of memory" killed=sort`,
	},
	{name: "many SSH connections", provoke: (*VM).connectOften, line: `msg="ssh refused" from=10.0.2.2`},
	{name: "garbage on the console", provoke: (*VM).typeGarbage},
}

// killService kills the process of a service.
func (m *VM) killService(name string) {
	m.t.Helper()
	list := m.Shell("services")
	found := regexp.MustCompile(`(?m)^` + name + ` +running +(\d+)`).FindStringSubmatch(list)
	if found == nil {
		m.Fatalf("%s does not run:\n%s", name, list)
	}
	m.Shell("kill -9 " + found[1])
}

// manyConnections is more than dom0's SSH server takes from one address, and what QEMU's network passes on within
// seconds. A thousand are for ring 1 (internal/sshd).
const manyConnections = 60

// connectOften opens many connections to dom0's SSH server, and says nothing.
func (m *VM) connectOften() {
	ctx, cancel := m.Within(shellLimit)
	defer cancel()
	at := m.sshPort(ctx)
	for range manyConnections {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
		if err != nil {
			m.Errorf("connect to the SSH server: %v", err)
			return
		}
		defer conn.Close()
	}
}

// typeGarbage types what no shell understands. The shell takes commands after it.
func (m *VM) typeGarbage() {
	garbage := make([]byte, 2000)
	for i := range garbage {
		garbage[i] = byte(i * 151) // all bytes there are
	}
	m.Type(string(garbage))
	m.Type("\x11\x03\x15\r\r") // Ctrl-Q: the terminal may have been stopped
	m.ForgetShell()
}
