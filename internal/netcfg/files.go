package netcfg

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// files is what was written for the whole machine; empty texts: nothing yet.
type files struct{ resolvers, timeServers, hostname string }

// writeFiles writes what the sources of all interfaces say beyond these, when it has changed: what is configured
// comes first, then the interfaces in their order, and of each DHCP, DHCPv6 and routers. Before anybody has said
// anything, the files stay as they are; a host name stays until another is given.
func (m *Manager) writeFiles() {
	services, hostname := m.services()
	next := files{services.ResolvConf(), services.TimeServers(), hostname}
	said := len(services.DNS)+len(services.Search)+len(services.NTP) > 0 || m.hasLease()
	if !said && m.files == (files{}) {
		return
	}
	if next.resolvers != m.files.resolvers {
		m.reportOnce("set resolvers", writeFile(m.options.ResolvConf, next.resolvers))
	}
	if next.timeServers != m.files.timeServers || m.files.resolvers == "" {
		m.reportOnce("set time servers", writeFile(m.options.TimeServers, next.timeServers))
	}
	switch {
	case next.hostname == "":
		next.hostname = m.files.hostname
	case next.hostname != m.files.hostname && m.options.SetHostname:
		m.reportOnce("set host name", unix.Sethostname([]byte(next.hostname)))
	}
	m.files = next
}

func (m *Manager) reportOnce(what string, err error) {
	if m.isNews(what, err) {
		m.problem(fmt.Errorf("%s: %w", what, err))
	}
}

func (m *Manager) hasLease() bool {
	for _, u := range m.uplinks {
		if u.held.lease != nil || u.lease6 != nil {
			return true
		}
	}
	return false
}

// services merges what all sources say. The host name is the first that a lease gives.
func (m *Manager) services() (all Services, hostname string) {
	all.add(Services{DNS: m.wanted.DNS, Search: m.wanted.Search})
	for _, u := range m.uplinks {
		all.add(u.services())
		if hostname == "" && u.held.lease != nil {
			hostname = u.held.lease.Hostname
		}
	}
	return all, hostname
}

// writeFile replaces a file as a whole, so that no reader sees half of it. An empty path is no
// file.
func writeFile(file, text string) error {
	if file == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	draft := file + ".new"
	if err := os.WriteFile(draft, []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(draft, file)
}
