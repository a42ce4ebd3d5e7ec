//go:build vm

package vm

import (
	"regexp"
	"strings"

	"github.com/zerodisc/zerodisc/docs"
)

// checkServices looks at the services of a host on which xenconsoled was killed, and restarts and stops some.
func (m *VM) checkServices() {
	list := m.Shell("services")
	for _, service := range []string{
		`xenstored +running +\d+ +\S+ MiB +0 `, `xenconsoled +running +\d+ +\S+ MiB +1 `,
		`kernel-log +running +init +0 `,
		`xen-log +running`, `sshd +running +\d+ +\S+ MiB +0 `, `orders +running +init +0 `,
		`ntp +running`, `network +running`, `neighbours-xenbr0 +running`,
	} {
		if !regexp.MustCompile(`(?m)^` + service).MatchString(list) {
			m.Errorf("services does not show /%s/:\n%s", service, list)
		}
	}
	before := m.Shell("pidof xenconsoled")
	for _, order := range []struct{ order, answer string }{
		{"restart xenconsoled", ""}, {"stop ntp", ""}, {"restart ntp", ""},
		{"stop orders", "nobody could start it again"}, {"restart orders", ""}, {"restart sshd", ""},
		{"restart kernel-log", ""}, {"restart xen-log", ""},
		{"restart xenstored", "what it keeps would be lost"}, {"stop nothing", "there is no such service"},
	} {
		said := m.Shell("services " + order.order)
		if order.answer == "" && said != "" || !strings.Contains(said, order.answer) {
			m.Errorf("services %s: %q", order.order, said)
		}
	}
	for _, e := range docs.Of(m.t, "services") {
		want := ""
		switch {
		case e.Text == "services":
			want = "xenstored +running"
		case strings.HasSuffix(e.Text, "restart xenstored"):
			want = "what it keeps would be lost"
		}
		said := m.Shell(strings.Replace(e.Text, "NAME", "ntp", 1))
		if want == "" && said != "" || !regexp.MustCompile(want).MatchString(said) {
			m.Errorf("%s: %q", e.Text, said)
		}
	}
	m.Shell("services start watchdog") // which one of these has stopped
	if after := m.Shell("pidof xenconsoled"); after == before || after == "" {
		m.Errorf("xenconsoled was process %s and is %s", before, after)
	}
}

// checkDocumented runs other commands in docs: they are there, and succeed.
func (m *VM) checkDocumented() {
	for _, e := range docs.Of(m.t, "dom0") {
		command := strings.Replace(e.Text, "DIR", "/run", 1)
		if said := m.Shell(command + " > /dev/null; echo status $?"); !strings.HasSuffix(said, "status 0") {
			m.Errorf("%s: %q", e.Text, said)
		}
	}
}

// checkLogs looks for a line of each source, which is there once, though what keeps the log was started anew.
func (m *VM) checkLogs() {
	for source, line := range map[string]string{
		"init": "msg=ready guests=2", "kernel": "Linux version", "xen": "Xen version",
	} {
		if said := m.Shell("logs -source " + source + " | grep '" + line + "'"); !strings.Contains(said, line) {
			m.Errorf("logs -source %s does not have %q: %q", source, line, said)
		}
		if count := m.Shell("logs -source " + source + " | grep -c '" + line + "'"); count != "1" {
			m.Errorf("logs -source %s has %q %s times", source, line, count)
		}
	}
	for flags, want := range map[string]string{
		"-level warning": "0", "-level info": "1", "-since 24h": "1", "-since '2199-12-31 00:00'": "0",
	} {
		if count := m.Shell("logs -source init " + flags + " | grep -c 'msg=ready guests=2'"); count != want {
			m.Errorf("logs %s has a line of the boot %s times", flags, count)
		}
	}
	if said := m.Shell("logs -source nobody"); !strings.Contains(said, `nothing comes from "nobody"`) {
		m.Errorf("logs -source nobody: %q", said)
	}
}

// checkReport has a report written, and looks for what must be in it and what must not.
func (m *VM) checkReport() {
	m.Shell("mkdir -p /tmp/report; echo password=sosecret > /var/log/xen/test.log")
	example := docs.Of(m.t, "report")[0].Text
	m.Shell(strings.Replace(example, "/state/", "/tmp/", 1) + "; mv /tmp/report.tgz /tmp/report.tar.gz")
	m.Shell("gzip -d -c /tmp/report.tar.gz > /tmp/report.tar") // it wants that name
	files := m.Shell("tar -x -f /tmp/report.tar /tmp/report; find /tmp/report -type f")
	for _, name := range []string{
		"/status.txt", "/state/state.json", "/log/log.txt", "/log/sources/kernel", "/log/xen/test.log",
		"/xen/dmesg.txt",
		"/xen/list.txt",
		"/kernel/dmesg.txt", "/guests/" + guests[0] + ".cfg", "/network/addresses.txt", "/processes.txt",
		"/problems.txt",
	} {
		if !strings.Contains(files, name) {
			m.Errorf("the report has no %s:\n%s", name, files)
		}
	}
	if said := m.Shell("grep -r sosecret /tmp/report"); said != "" {
		m.Errorf("the report has a password: %s", said)
	}
	m.Shell("rm -rf /tmp/report /tmp/report.tar /tmp/report.tar.gz /var/log/xen/test.log")
}
