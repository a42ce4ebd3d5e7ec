//go:build vm && full

package vm

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/test/vm/console"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// The machine of [TestSources], as its firmware describes it, and the file that a web server has for it.
const (
	sourcesUUID   = "4c4c4544-0042-4810-8053-b4c04f4d3132"
	sourcesSerial = "ZD 42"
	sourcesFile   = "/" + sourcesUUID + "/from-volume/ZD%2042.yaml"
)

// A password for SSH alone, and its hash by SHA-256, whose salt no other text has.
const (
	sshPassword = "Another word"
	sshHash     = "$5$saltstring$voWGpd6CD4poHsbJyqhmn6GbWy.mTXZkrXs7j1k5Z79"
)

// The configurations of [TestSources], those that count less first.
const (
	sourcesOnDisc  = "hostname: from-disc\ntimezone: Europe/Berlin\nkeyboard: de\nstores: {budget: 64M}\n"
	sourcesOnWeb   = "hostname: from-web\ntimezone: Asia/Seoul\nkeyboard: fr\nguests: {tty1: {memory: 100M}}\n"
	sourcesOnState = "hostname: from-state\ntimezone: Asia/Tokyo\nguests: {tty1: {memory: 104M, vcpus: 1}}\n"
)

// sourcesOnVolume is the configuration of the labelled volume, which lets a key in.
func sourcesOnVolume(t *testing.T, keys string, syslog int) string {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(keys, sshKey+".pub"))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`hostname: from-volume
password-hash: %s
ntp: {enabled: yes}
ssh: {keys: ["%s"], password-hash: %s, guests: yes}
logs: {targets: ["udp://10.0.2.2:%d"]}
network: {bridges: {wired: {nic: eth1}}}
guests:
  tty1: {vcpus: 2, restart: always, network: {isolated: yes, host: no}}
  tty2: {delay: 15s, restart: never, network: {bridge: wired, vlan: 30}}
  keep: {autostart: no}
`, rootHash, strings.TrimSpace(string(key)), sshHash, syslog)
}

// serveSources serves the web server's configuration to the one machine that it is for, and returns its port.
func serveSources(t *testing.T) int {
	t.Helper()
	return serveHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.EscapedPath() != sourcesFile {
			t.Logf("the web server was asked for %s", r.URL.EscapedPath())
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, sourcesOnWeb)
	}))
}

// stateWithConfig is cutDisk's state volume with a configuration.
func stateWithConfig(t *testing.T, text string) string {
	t.Helper()
	volume, _ := cutDisk(t)
	file := filepath.Join(t.TempDir(), boot.ConfigName)
	write(t, file, text)
	tool(t, "debugfs", "-w", "-R", "write "+file+" "+boot.ConfigName, volume)
	return volume
}

// TestSources boots a machine with all sources of a configuration: the kernel command line, a disc with the label, the
// state volume, a URL with what the machine is called, and the boot medium. What they say is to be seen.
func TestSources(t *testing.T) {
	udp, cable, keys := receiveDatagrams(t), layWire(t, 30, "192.0.2.9"), newSSHKey(t)
	settings := fmt.Sprintf("cmdline = zerodisc.ntp=no "+
		"zerodisc.config=http://10.0.2.2:%d/${uuid}/{hostname}/${serial}.yaml\ntimeout = 1\n", serveSources(t))
	volume := discWith(t, boot.ConfigLabel, boot.ConfigName, sourcesOnVolume(t, keys, udp.port))
	machine := qemu.Machine{
		ISO: configuredDisc(t, settings, sourcesOnDisc), MemoryMiB: 1536,
		Identity: "uuid=" + sourcesUUID + ",serial=" + sourcesSerial,
		Disks: []qemu.Disk{
			{File: volume, Device: "ide-cd,bus=ahci.1"}, {File: stateWithConfig(t, sourcesOnState)},
		},
		NICs: []qemu.NIC{{}, {Net: cable.net()}},
	}
	Story(t, machine, func(m *VM) {
		m.Wait(`msg=ready guests=2`, bootLimit)
		m.giveRootPassword()
		m.FromStart().checkDelay("tty1", "tty2")
		m.Run("what holds, and by whom", (*VM).checkSources)
		m.Run("remote syslog", func(m *VM) {
			m.Until("a datagram has come", soon, func() bool { return udp.has("> init \ufeffmsg=init") })
		})
		m.Run("ssh", func(m *VM) { m.checkConfiguredSSH(keys) })
		m.Run("a guest in a VLAN", func(m *VM) { m.checkGuestVLAN("tty2", cable) })
		m.Run("an isolated guest", func(m *VM) { m.checkIsolated("tty1", "keep") })
		m.Run("restart policies", func(m *VM) { m.checkPolicies("tty1", "tty2") })
		m.checkPowerOff(typePowerOff)
	})
}

// checkDelay checks that a guest was started some time after the one before it.
func (m *VM) checkDelay(first, second string) {
	one := m.Wait(`msg="guest running" guest=`+first, soon)
	two := m.Wait(`msg="guest running" guest=`+second, soon)
	if delay := two.At.Sub(one.At); delay < 10*time.Second { // of 15 s; the console is read with a delay, too
		m.Errorf("%s runs %v after %s", second, delay, first)
	}
}

// checkSources checks what zerodisc-config says, and what it does not: secrets.
func (m *VM) checkSources() {
	said := m.Shell("zerodisc-config")
	for _, want := range []string{
		`^ntp.enabled +no +kernel command line`, `^hostname +from-volume +/dev/sr\d`,
		`^timezone +Asia/Tokyo +` + boot.StateMount, `^keyboard +fr +http://10\.0\.2\.2:\d+` + sourcesFile,
		`^stores.budget +64M +` + boot.MediaMount, `^guests.tty1.vcpus +2 +/dev/sr\d`,
		`^guests.tty1.memory +104M +` + boot.StateMount, `^guests.tty2.network.vlan +30 +/dev/sr\d`,
	} {
		if !regexp.MustCompile(`(?m)` + want).MatchString(said) {
			m.Errorf("zerodisc-config does not have /%s/:\n%s", want, said)
		}
	}
	if m.FromStart().Said(`^level=ERROR`) {
		m.Errorf("something is wrong")
	}
	if strings.Contains(said, "saltstring") {
		m.Errorf("zerodisc-config shows hashes:\n%s", said)
	}
	if said := m.Shell("hostname; date +%Z"); said != "from-volume\nJST" {
		m.Errorf("the host's name and time zone are %q", said)
	}
	m.Until("xl list shows tty1's processors and memory", soon, func() bool {
		return regexp.MustCompile(`(?m)^tty1 +\d+ +104 +2 `).MatchString(m.Shell("xl list"))
	})
}

// checkConfiguredSSH logs in by the key and by the password of the configuration, and by no other.
func (m *VM) checkConfiguredSSH(keys string) {
	c := m.sshClientWith(keys, 22)
	c.checkHostKey()
	c.says("hostname", "from-volume")
	for _, test := range []struct {
		password string
		right    bool
	}{{"wrong", false}, {rootPassword, false}, {sshPassword, true}} {
		out, err := c.run(c.password(test.password), "ssh", "-o", "PubkeyAuthentication=no", sshRoot, "hostname")
		if (err == nil) != test.right || !test.right && !strings.Contains(out, "Permission denied") {
			m.Errorf("with the password %q: %v, %s", test.password, err, out)
		}
	}
	logins := []string{} // they are told by another process
	m.FromStart().Until("the logins are told", soon, func() bool {
		logins = logins[:0]
		for _, event := range m.Console.Events(0, console.Query{"msg": boot.MsgSSHLogin}) {
			logins = append(logins, event.Get("method"))
		}
		return len(logins) == 2
	})
	if !strings.Contains(logins[0], "SHA256:") || logins[1] != "password" {
		m.Errorf("the logins were by %q", logins)
	}
}

// checkGuestVLAN has a guest, which knows nothing of VLANs, ping the host that is in its VLAN on the cable.
func (m *VM) checkGuestVLAN(guest string, cable *wire) {
	own := net.IPv4(192, 0, 2, 6).To4()
	m.FromNow().Enter("xl console " + guest)
	m.FromNow().Until("the host in the VLAN answers", consoleLimit, func() bool {
		m.Enter("ip addr add " + own.String() + "/24 dev eth0")
		m.Enter("ping -c 1 " + cable.host.String())
		return m.Said(`time=`)
	})
	m.leaveConsole()
	if !cable.saw(unix.ETH_P_ARP, own) || !cable.saw(unix.ETH_P_IP, own) {
		m.Errorf("the cable has not seen the guest's tagged frames")
	}
}

// checkIsolated starts a guest that does not start by itself, and has it try to reach an isolated one, which is reached
// from outside.
func (m *VM) checkIsolated(isolated, other string) {
	address := m.FromStart().Wait(`msg="guest address" guest=`+isolated, addressLimit).Get("address")
	if list := m.Shell("xl list"); regexp.MustCompile(`(?m)^` + other + ` `).MatchString(list) {
		m.Errorf("%s has started by itself:\n%s", other, list)
	}
	now := m.FromNow()
	m.order("guest start " + other)
	now.Wait(`msg="guest address" guest=`+other, addressLimit)
	m.Fetch(address, soon)
	m.Enter("xl console " + other)
	m.FromNow().Until("the guest reaches dom0's gateway", consoleLimit, func() bool {
		m.Enter("ping -c 1 10.0.2.2")
		return m.Said(`time=`)
	})
	m.FromNow().Enter("ping -c 2 " + address + "; echo ping\"\"ed")
	m.WaitText(`^pinged`, consoleLimit)
	if m.Said(`bytes from ` + regexp.QuoteMeta(address)) { // of the gateway an answer may come late
		m.Errorf("%s reaches %s", other, isolated)
	}
	dom0 := m.dom0Address()
	m.FromNow().Until("a guest reaches SSH of dom0's", consoleLimit, func() bool {
		m.Enter("netcat " + dom0 + " 22 < /dev/null")
		return m.Said(`SSH-2\.0`)
	})
	m.leaveConsole()
	m.Enter("xl console " + isolated)
	m.FromNow().Enter("ping -c 2 " + dom0 + "; echo ping\"\"ed")
	m.WaitText(`^pinged`, consoleLimit)
	if m.Said(`bytes from ` + regexp.QuoteMeta(dom0)) {
		m.Errorf("%s reaches dom0, which is closed to it", isolated)
	}
	m.leaveConsole()
	said := m.Shell("guest show -o json " + isolated + "; guest show -o json " + other)
	if !neighbourDrops.MatchString(said) {
		m.Errorf("nothing was dropped between the guests:\n%s", said)
	}
}

// neighbourDrops is where the API says of a guest that packets between it and another guest were dropped.
var neighbourDrops = regexp.MustCompile(`"neighbour":\s*\{`)

// checkPolicies ends a guest that is never started again by a reboot, and one that always is by a shutdown.
func (m *VM) checkPolicies(always, never string) {
	now := m.FromNow()
	m.Shell("xl reboot " + never)
	now.Wait(`msg="guest stopped" guest=`+never, stopLimit)
	m.Shell("xl shutdown " + always)
	now.Wait(`msg="guest stopped" guest=`+always, stopLimit)
	now.Wait(`msg="guest running" guest=`+always, stopLimit)
	want := regexp.MustCompile(`(?m)^` + never + ` +stopped`)
	if list := m.Shell("guest list"); !want.MatchString(list) {
		m.Errorf("%s has not stayed stopped:\n%s", never, list)
	}
}
