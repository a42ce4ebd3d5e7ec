//go:build vm && full

package vm

import (
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/zerodisc/zerodisc/internal/testns"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// kernelLine is a network as dracut has it. Brackets keep it from a settings.txt.
const kernelLine = " bridge=br0:eth0 ip=" + lanNetwork + "5::" + lanServer + ":255.255.255.0::br0:none " +
	"ip=[" + lanPrefix6 + "5]::[" + lanServer6 + "]:64::br0:none " +
	"nameserver=" + lanServer + " nameserver=" + lanServer6 + " " +
	"rd.route=198.51.100.0/24:" + lanNetwork + "254:br0 rd.route=[2001:db8:99::/48]:[" + lanPrefix6 + "fe]:br0 " +
	"hostname=rack9"

// TestKernelLine boots a machine whose addresses, IPv6 and IPv4, name servers, routes, bridge and name are on the
// kernel command line.
func TestKernelLine(t *testing.T) {
	testns.Run(t, syscall.CLONE_NEWNET, bootKernelLine)
}

func bootKernelLine(t *testing.T) {
	layLAN(t, "tap0")
	kernel := multibootOf(t)
	kernel.Modules[0] += kernelLine
	Story(t, qemu.Machine{Multiboot: kernel, NICs: []qemu.NIC{{Net: qemu.Tap("tap0")}}}, func(m *VM) {
		m.Wait(`msg="host address" interface=br0 nic=eth0 address=`+lanNetwork+`5/24 by=static`, bootLimit)
		m.Wait(`msg="host IPv6 address" interface=br0 nic=eth0 address=`+lanPrefix6+`5/64 gateway=`+lanServer6+
			` by=static`, bootLimit)
		m.Wait(`msg=ready guests=0`, bootLimit)
		c := &sshClient{VM: m, dir: newSSHKey(m.t), port: "22"}
		c.letIn()
		c.checkLogin(lanPrefix6 + "5")
		c.checkLogin(lanNetwork + "5")
		said := m.Shell("hostname; cat /etc/resolv.conf /proc/net/route; ip -6 route; zerodisc-config")
		for _, want := range []string{
			`^rack9$`, `^nameserver ` + lanServer + `$`, `^nameserver ` + lanServer6 + `$`,
			`^br0\s+00000000\s+014DA8C0\s`, `^br0\s+006433C6\s+FE4DA8C0\s`, // destination and gateway, little-endian
			`^::/0 via ` + lanServer6 + ` dev br0`, `^2001:db8:99::/48 via ` + lanPrefix6 + `fe dev br0`,
			`^network\.default-bridge +br0 +kernel command line`,
		} {
			if !regexp.MustCompile(`(?m)` + want).MatchString(said) {
				m.Errorf("the host does not have /%s/", want)
			}
		}
		if m.t.Failed() {
			m.t.Log(said)
		}
		if m.Said(`^level=(ERROR|WARN) msg=("kernel parameter"|config|network)`) || strings.Contains(said, "xenbr0") {
			m.Errorf("something is wrong")
		}
	})
}
