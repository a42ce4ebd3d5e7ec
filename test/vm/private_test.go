//go:build vm && full

package vm

import (
	"fmt"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// privateConfig has private networks of each kind: a usual one, one that leads nowhere and has a domain of its own, and
// one without names.
const privateConfig = `network:
  bridges:
    lan: {private: {address: 10.11.0.1/24}}
    shut: {private: {address: 10.12.0.1/24, nat: no, domain: lab.example}}
    mute: {private: {address: 10.13.0.1/24, dns: no}}
guests:
  tty1: {network: {bridge: lan}}
  tty2: {network: {bridge: shut}}
  tty3: {network: {bridge: shut}}
  tty4: {network: {bridge: mute}}
`

// TestPrivateNetworks has a guest on each kind of private network try what it may do there, and what it may not.
func TestPrivateNetworks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, iso := filepath.Join(dir, "zerodisc.yaml"), filepath.Join(dir, "private.iso")
	write(t, file, privateConfig)
	base := remaster(t, "timeout = 1\n", guestDir(t, dir, "tty3"), guestDir(t, dir, "tty4"))
	if out, err := mkiso(t, "add", base, "-config", file, "-o", iso); err != nil {
		t.Fatalf("mkiso: %v\n%s", err, out)
	}
	var asked atomic.Int32
	port := serveHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		fmt.Fprintln(w, "the world")
	}))
	Story(t, qemu.Machine{ISO: iso, MemoryMiB: 1536}, func(m *VM) {
		m.Wait(`msg=ready guests=4`, bootLimit)
		for guest, network := range map[string]string{
			"tty1": "10.11.0.", "tty2": "10.12.0.", "tty3": "10.12.0.", "tty4": "10.13.0.",
		} {
			m.addressIn(guest, network)
		}
		own := m.dom0Address()
		m.Run("domain", func(m *VM) { m.checkDomain("tty2", "tty3") })
		m.Run("nat: no", func(m *VM) {
			m.fetchesNothing("tty2", fmt.Sprintf("10.0.2.2:%d", port))
			m.fetchesNothing("tty2", m.FromStart().addressIn("tty1", "10.11.0."))
			if asked.Load() > 0 {
				m.Errorf("a guest reaches the world from a network without NAT")
			}
		})
		m.Run("dns: no", func(m *VM) {
			m.fetchesNothing("tty4", "tty4")
			m.scanFromGuest("tty4", fromMutePrivateGuest, m.serveScanner("127.0.0.1"), "10.0.2.2", "10.13.0.1")
		})
		m.Run("what is open on a private network", func(m *VM) {
			scanner := m.serveScanner("127.0.0.1")
			m.scanFromGuest("tty1", fromPrivateGuest, scanner, "10.0.2.2", "10.11.0.1")
			m.scanFromGuest("tty1", fromGuest, scanner, "10.0.2.2", own, "10.12.0.1", "10.13.0.1") // dom0's others
			for _, bridge := range []string{"lan", "shut", "mute"} {
				if said := m.Shell("grep ' " + bridge + "$' /proc/net/if_inet6"); said != "" {
					m.Errorf("dom0 has an IPv6 address on a private network: %s", said)
				}
			}
		})
		m.checkPowerOff(typePowerOff)
	})
}

// checkDomain has a guest find another by names in the network's domain, and by none in the usual one.
func (m *VM) checkDomain(guest, other string) {
	m.checkPageByName(guest, other)
	m.openConsole(guest)
	m.FromNow().Until("the other guest has a name in the domain", consoleLimit, func() bool {
		m.Enter("wget -O - http://" + other + ".lab.example/")
		return m.Said(`<title>` + other + `</title>`)
	})
	m.FromNow().Enter("cat /etc/resolv.conf")
	m.WaitText(`^search lab\.example`, consoleLimit)
	m.leaveConsole()
	m.fetchesNothing(guest, other+".guests.internal")
}

// fetchesNothing has a guest try to read a page that it cannot reach.
func (m *VM) fetchesNothing(guest, host string) {
	m.t.Helper()
	m.openConsole(guest)
	m.FromNow().Enter("timeout -t 10s wget -O - http://" + host + "/; echo en\"\"ded")
	m.WaitText(`^ended`, consoleLimit)
	if m.Said(`<title>|^the world`) {
		m.Errorf("%s reaches %s", guest, host)
	}
	m.leaveConsole()
}
