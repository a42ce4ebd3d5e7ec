//go:build vm && full

package vm

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/testns"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// Network cards that are plugged in in [TestAddresses].
const (
	lateMAC  = "52:54:00:12:34:70"
	namedMAC = "52:54:00:12:34:71"
)

// Addresses of [TestAddresses]: of the first network card by RA and DHCPv6, and one that is nobody's on its network.
const (
	firstByRA    = "2001:db8:77:0:5054:ff:fe12:3456" // made from its MAC address
	firstByDHCP6 = lanPrefix6 + "6:56"
	nowhere      = "203.0.113.5/24"
)

// addressesConfig has a network for a card that is not there yet.
const addressesConfig = `network:
  bridges:
    late: {nic: "` + namedMAC + `", ipv4: {addresses: [198.51.100.5/24]}}
`

// cuttingConfig cuts a host off from where it comes from.
const cuttingConfig = `timezone: Asia/Tokyo
network:
  bridges:
    xenbr0: {ipv4: {addresses: [` + nowhere + `]}, ipv6: {method: none}}
`

// TestAddresses boots on a network that has IPv6 alone, and on which everything changes then: DHCP servers appear, two
// at a time; a configuration from there cuts the host off; the cable goes to another card, and then to cards that
// were not there.
func TestAddresses(t *testing.T) {
	testns.Run(t, syscall.CLONE_NEWNET, bootAddresses)
}

func bootAddresses(t *testing.T) {
	l := layLAN(t, "tap0", "tap1", "tap2", "tap3")
	l.advertise()
	l.serveDHCP6()
	l.serveHTTP(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, cuttingConfig)
	}))
	settings := "cmdline = zerodisc.config=http://" + lanServer + "/{mac}.yaml\ntimeout = 1\n"
	iso := configuredDisc(t, settings, addressesConfig)
	machine := qemu.Machine{ISO: iso, NICs: []qemu.NIC{{Net: qemu.Tap("tap0")}, {Net: qemu.Tap("tap1")}}}
	FromPowerOn(t, machine, func(m *VM) {
		m.setLinkOf("net1", false)
		m.WaitInit()
		m.Run("IPv6 alone", (*VM).checkIPv6Alone)
		m.Run("two DHCP servers appear", func(m *VM) { m.checkTwoServers(l) })
		m.Run("a configuration that cuts the host off", (*VM).checkCutOff)
		m.Run("guests", func(m *VM) {
			for i, address := range m.FromStart().waitGuests() {
				m.checkServedPage(guests[i], address)
			}
		})
		before := m.domains()
		m.Run("the cable goes to another card", (*VM).checkCableMoves)
		m.Run("a card is plugged in", (*VM).checkLateCard)
		m.Run("a card is plugged in that has a network of its own", (*VM).checkNamedCard)
		if now := m.domains(); strings.Join(now, " ") != strings.Join(before, " ") {
			m.Errorf("the guests' domains are %s, and were %s", now, before)
		}
	})
}

// setLinkOf plugs the cable of a network card in, or pulls it. Its name is QEMU's: of a card, or of what it is
// plugged into.
func (m *VM) setLinkOf(name string, up bool) {
	m.t.Helper()
	if _, err := m.QMP("set_link", map[string]any{"name": name, "up": up}); err != nil {
		m.fail("set the link", err)
	}
}

// checkIPv6Alone looks at the addresses that a router and a DHCPv6 server give, and logs in by both.
func (m *VM) checkIPv6Alone() {
	m.Wait(`msg="host IPv6 address" interface=xenbr0 nic=eth0 address=`+firstByRA+`/64 by=RA`, bootLimit)
	m.Wait(`msg="host IPv6 address" interface=xenbr0 nic=eth0 by=DHCPv6`, addressLimit)
	m.Wait(`msg=`+boot.MsgSSH+` state=listening`, bootLimit)
	c := &sshClient{VM: m, dir: newSSHKey(m.t), port: "22"}
	c.letIn()
	c.checkLogin(firstByRA)
	c.checkLogin(firstByDHCP6)
	if said := m.Shell("status"); !strings.Contains(said, firstByRA) || !strings.Contains(said, firstByDHCP6) {
		m.Errorf("status does not show the IPv6 addresses:\n%s", said)
	}
	m.untilScreen("1", "Address +"+lanPrefix6)
	m.untilScreen("1", "Log in +ssh root@")
	m.Wait(`msg="`+boot.MsgNoLease+`"`, addressLimit)
	if m.Said(`msg="` + boot.MsgPrivateNet + `"`) {
		m.Errorf("guests have a private network although dom0 has an IPv6 address")
	}
}

// checkLogin logs in at an address, by OpenSSH's client.
func (c *sshClient) checkLogin(address string) {
	c.t.Helper()
	out, err := c.run("", "ssh", "root@"+address, "echo $SSH_CONNECTION")
	if err != nil || !strings.Contains(out, " "+address+" 22") {
		c.Errorf("ssh root@%s: %v\n%s", address, err, out)
	}
}

// checkTwoServers puts two DHCP servers on the network. One of them counts, and the console names both.
func (m *VM) checkTwoServers(l *lan) {
	m.FromNow()
	l.serveDHCP(lanServer, 100)
	l.serveDHCP(lanNetwork+"2", 180)
	m.newAddress()
	said := m.Wait(`msg=network state="DHCP servers"`, soon).Get("err")
	if !strings.Contains(said, "["+lanServer+" "+lanNetwork+"2]") {
		m.Errorf("the console says %q", said)
	}
}

// checkCutOff has the host take a configuration with which it cannot be reached, and take it back.
func (m *VM) checkCutOff() {
	m.Wait(`msg="host address" interface=xenbr0 address=`+nowhere, addressLimit)
	m.FromNow()
	said := m.Wait(`msg=config key=network`, addressLimit).Get("err")
	if !strings.Contains(said, "taken back: with these settings their own source cannot be reached any more") {
		m.Errorf("the console says %q", said)
	}
	m.newAddress()
	if said := m.Shell("zerodisc-config"); !strings.Contains(said, "Asia/Tokyo") || strings.Contains(said, nowhere) {
		m.Errorf("zerodisc-config says:\n%s", said)
	}
	if said := m.Shell("ip addr show xenbr0"); strings.Contains(said, nowhere) {
		m.Errorf("the address stays:\n%s", said)
	}
	m.untilScreen("1", "network: taken back")
}

// checkCableMoves pulls the cable of the first card and puts it into the second one.
func (m *VM) checkCableMoves() {
	m.FromNow().setLinkOf("net0", false)
	m.setLinkOf("net1", true)
	m.Wait(`msg="`+boot.MsgLeaseLost+`" nic=eth0`, addressLimit)
	m.Wait(`msg="host IPv6 address" nic=eth1 by=RA`, addressLimit)
	if address := m.newAddress(); address == "" {
		m.Errorf("dom0 has no address")
	}
}

// checkLateCard pulls the second card's cable and puts it into a new one.
func (m *VM) checkLateCard() {
	m.FromNow().setLinkOf("net1", false)
	m.plugCard("virtio-net-pci", "tap2", lateMAC)
	m.Wait(`msg="host address" interface=xenbr0 nic=eth2`, addressLimit)
}

// checkNamedCard plugs in a card for which there is a network.
func (m *VM) checkNamedCard() {
	if !m.FromStart().Said(`msg="` + boot.MsgNoNIC + `".*has not appeared yet`) {
		m.Errorf("the console does not say that a network card is not there")
	}
	m.FromNow().plugCard("e1000", "tap3", namedMAC)
	m.Wait(`msg="host address" interface=late nic=eth3 address=198.51.100.5/24 by=static`, addressLimit)
}

// plugCard plugs a network card in, and its cable into the network.
func (m *VM) plugCard(model, tap, mac string) {
	m.t.Helper()
	for _, command := range []struct {
		name      string
		arguments map[string]any
	}{
		{"netdev_add", map[string]any{
			"type": "tap", "id": "on" + tap, "ifname": tap, "script": "no", "downscript": "no",
		}},
		{"device_add", map[string]any{"driver": model, "netdev": "on" + tap, "mac": mac, "id": "card" + tap}},
	} {
		if _, err := m.QMP(command.name, command.arguments); err != nil {
			m.fail(fmt.Sprintf("plug a card in: %s", command.name), err)
		}
	}
}
