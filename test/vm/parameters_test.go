//go:build vm && full

package vm

import (
	"fmt"
	"net"
	"net/http"
	"regexp"
	"sync/atomic"
	"testing"

	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// serveSeed serves what cloud-init's data source nocloud has, and returns its port.
func serveSeed(t *testing.T) int {
	t.Helper()
	mux := http.NewServeMux()
	for path, text := range map[string]string{
		"/seed/meta-data": "instance-id: i1\nlocal-hostname: from-meta-data\n",
		"/seed/user-data": "#cloud-config\ntimezone: Asia/Tokyo\npackages: [curl]\n",
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })
	}
	return serveHTTP(t, mux)
}

// TestKernelParameters boots a machine that is configured by the kernel command line alone, in the ways of dracut and
// cloud-init: the NIC that it was booted from has DHCP, a VLAN over a bond of the next two a fixed address, and the
// fourth another.
func TestKernelParameters(t *testing.T) {
	t.Parallel()
	iso := remaster(t, fmt.Sprintf("cmdline = BOOTIF=01-52-54-00-12-34-56 ip=eth0:dhcp "+
		"bond=bond0:eth1,eth2:mode=active-backup,miimon=100 vlan=bond0.20:bond0 "+
		"ip=192.0.2.5::192.0.2.9:255.255.255.0:rack7:bond0.20:none ip=198.51.100.5:::24::eth3:none "+
		"ds=nocloud;s=http://10.0.2.2:%d/seed/ zerodisc.ssh=no\ntimeout = 1\n",
		serveSeed(t)))
	wires := []*wire{layWire(t, 20, "192.0.2.9"), layWire(t, 20, "192.0.2.9")}
	machine := qemu.Machine{ISO: iso, NICs: []qemu.NIC{
		{}, {Net: wires[0].net()}, {Net: wires[1].net()}, {Net: layWire(t, 30, "192.0.2.9").net()},
	}}
	Story(t, machine, func(m *VM) {
		m.Wait(`msg="host address" interface=xenbr0 address=10.0.2.15/24`, bootLimit)
		m.Wait(`msg="host address" interface=xenbr1 address=192.0.2.5/24`, bootLimit)
		m.Wait(`msg="host address" interface=xenbr2 address=198.51.100.5/24`, bootLimit)
		m.waitGuests()
		m.checkBond(wires, net.ParseIP("192.0.2.5"))
		m.WaitText(`msg=config source=http://10.0.2.2\S+ .*packages`, bootLimit)
		m.Enter("zerodisc-config")
		for _, want := range []string{
			`^hostname +rack7 +kernel command line`, `^timezone +Asia/Tokyo +http://10.0.2.2`,
			`^ssh.enabled +no +kernel command line`,
		} {
			m.WaitText(want, soon)
		}
		if name := m.Shell("hostname"); name != "rack7" {
			m.Errorf("the host's name is %q", name)
		}
		if got := m.Shell("cat /proc/net/tcp /proc/net/tcp6 | grep -c ':0016 .* 0A '"); got != "0" {
			m.Errorf("%s sockets listen on SSH's port", got)
		}
	})
}

// inboundDrops is where the API says of a guest that packets were dropped because nothing may come in.
var inboundDrops = regexp.MustCompile(`"inbound":\s*\{`)

// TestLateConfiguration has the configuration come from a web server once guests run: their rules are those that it
// asks for.
func TestLateConfiguration(t *testing.T) {
	t.Parallel()
	var ready atomic.Bool
	port := serveHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !ready.Load() {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, "guests: {tty1: {network: {inbound: []}}}\n")
	}))
	iso := remaster(t, fmt.Sprintf("cmdline = zerodisc.config=http://10.0.2.2:%d/late.yaml\ntimeout = 1\n", port))
	Story(t, qemu.Machine{ISO: iso}, func(m *VM) {
		m.WaitText(`msg=config err="the configuration from the network has not come`, bootLimit)
		addresses := m.waitGuests()
		m.checkPages(addresses)
		ready.Store(true)
		m.WaitText(`msg=config source=http://10.0.2.2\S+ keys=`, addressLimit)
		m.Until("what comes to tty1 is dropped, for the reason that nothing may", addressLimit, func() bool {
			ctx, end := m.Within(soon)
			defer end()
			if from, err := m.Forward(ctx, m.nic, addresses[0], 80); err == nil {
				_, _ = fetchOnce(ctx, "http://"+from+"/")
			}
			return inboundDrops.MatchString(m.Shell("guest show tty1 -o json"))
		})
		m.Fetch(addresses[1], soon)
	})
}
