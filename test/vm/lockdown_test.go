//go:build vm

package vm

import (
	"regexp"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/sysctl"
)

// checkLockdown checks the kernel's settings, and the rights of Xen's daemons.
func (m *VM) checkLockdown() {
	var names, values []string
	for _, s := range sysctl.Table {
		for _, name := range s.Names() {
			names, values = append(names, strings.ReplaceAll(name, ".", "/")), append(values, s.Value)
		}
	}
	for first := range names {
		if first%8 != 0 { // a line is typed
			continue
		}
		last := min(first+8, len(names))
		said := m.Shell("cd /proc/sys; cat " + strings.Join(names[first:last], " ") + "; cd /")
		if want := strings.Join(values[first:last], "\n"); said != want {
			m.Errorf("%q are\n%s\nwant\n%s", names[first:last], said, want)
		}
	}
	for _, setting := range []string{"accept_redirects", "send_redirects", "accept_source_route"} {
		if found := m.Shell("cat /proc/sys/net/ipv4/conf/*/" + setting + " | grep -c 1"); found != "0" {
			m.Errorf("%s interfaces have %s", found, setting)
		}
	}
	if found := m.Shell("cat /proc/sys/net/ipv6/conf/" + boot.DefaultBridge + "/accept_ra"); found != "0" {
		m.Errorf("the kernel believes routers: %q", found)
	}
	// CAP_SYS_RESOURCE is bit 24, CAP_SYS_ADMIN bit 21.
	m.checkRights("$(pidof xenconsoled)", "0000000001000000", "0")
	m.checkRights("$(pidof xenstored)", "0000000001200000", "0")
}

// checkRights checks the capabilities of a process, that it gets no more, that it has a network of its own, and its
// kind of filter for system calls.
func (m *VM) checkRights(pid, capabilities, filter string) {
	m.t.Helper()
	said := m.Shell("p=" + pid + "; grep '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/$p/status; " +
		"readlink /proc/$p/ns/net /proc/self/ns/net; grep -c : /proc/$p/net/dev")
	want := regexp.MustCompile(`^CapEff:\s+` + capabilities + `\nCapBnd:\s+` + capabilities +
		`\nNoNewPrivs:\s+1\nSeccomp:\s+` + filter + `\n(net:\S+)\n(net:\S+)\n1$`)
	found := want.FindStringSubmatch(said)
	if found == nil || found[1] == found[2] {
		m.Errorf("the process %s: %q", pid, said)
	}
}
