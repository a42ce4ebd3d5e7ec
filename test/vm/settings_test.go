//go:build vm && full

package vm

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/initramfs"
	"github.com/zerodisc/zerodisc/test/vm/console"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// Addresses of [TestSettings] that guests take by themselves.
const (
	ownAddress   = "10.0.2.77" // tty1's, by the configuration
	otherAddress = "10.0.2.78" // nobody's
)

// settingsConfig has settings that no other test has seen at work in a booted host: keys of the host, limits of memory,
// and what guests may do.
func settingsConfig(t *testing.T, hostKey, authority string, syslog int) string {
	t.Helper()
	return fmt.Sprintf(`ssh:
  port: 2222
  host-keys:
  - |
%s
logs:
  targets: ["tls://10.0.2.2:%d"]
  authorities:
  - |
%s
memory: {guests: 320M, free: 48M}
guests:
  tty1: {restart: on-failure, network: {addresses: [%s]}}
  tty2: {network: {trust: [arp, address]}}
  loop: {order: 1, restart: on-failure}
  toomuch: {order: 2}
`, indent(hostKey), syslog, indent(authority), ownAddress)
}

// indent makes text a block of YAML.
func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
}

// TestSettings boots a machine with a configuration on its disc, and sees each setting at work.
func TestSettings(t *testing.T) {
	t.Parallel()
	dir, keys := t.TempDir(), newSSHKey(t)
	hostKey, err := os.ReadFile(filepath.Join(newSSHKey(t), sshKey))
	if err != nil {
		t.Fatal(err)
	}
	certificate, authority := makeAuthority(t)
	syslog := receiveTLS(t, certificate)
	loop, tooMuch := guestDir(t, dir, "loop"), guestDir(t, dir, "toomuch")
	makeRebooter(t, filepath.Join(loop, "initrd.img"))
	file, iso := filepath.Join(dir, boot.ConfigName), filepath.Join(dir, "settings.iso")
	write(t, file, settingsConfig(t, string(hostKey), authority, syslog.port))
	base := remaster(t, "cmdline = hostname=rack9\ntimeout = 1\n", loop, tooMuch)
	if out, err := mkiso(t, "add", base, "-config", file, "-o", iso); err != nil {
		t.Fatalf("mkiso: %v\n%s", err, out)
	}
	Story(t, qemu.Machine{ISO: iso, MemoryMiB: 1536}, func(m *VM) {
		m.Run("no more memory for guests", (*VM).checkMemoryLimit)
		m.Wait(`msg=ready`, bootLimit)
		for _, guest := range guests {
			m.Wait(`msg="guest running" guest=`+guest, soon)
		}
		m.Run("a guest in a loop of reboots", func(m *VM) { m.checkRebootLoop("loop") })
		m.Run("host key and port", func(m *VM) { m.checkSSHSettings(keys, string(hostKey)) })
		m.Run("syslog over TLS", func(m *VM) {
			m.Wait(`msg=syslog state=connected`, addressLimit)
			m.Until("the host's first line has come", soon, func() bool { return syslog.has("> init \ufeffmsg=init") })
		})
		m.Run("on-failure", func(m *VM) { m.checkOnFailure("tty1") })
		m.Run("addresses and trust", (*VM).checkAddresses)
		m.checkPowerOff(typePowerOff)
	})
}

// checkMemoryLimit looks at a guest for which memory.guests has no room.
func (m *VM) checkMemoryLimit() {
	refused := m.Wait(`msg="`+boot.MsgGuestRefused+`" guest=toomuch`, bootLimit)
	if !strings.Contains(refused.Get("err"), "raise memory.guests") {
		m.Errorf("%v", refused)
	}
}

// checkRebootLoop looks at a guest that reboots as soon as it has started: it is made anew ever more rarely.
func (m *VM) checkRebootLoop(name string) {
	restarts := console.Query{"msg": "guest restarts", "guest": name}
	m.Until("the guest has been made anew four times", bootLimit, func() bool {
		return len(m.Console.Events(0, restarts)) >= 4
	})
	m.Until("guest list says why it waits", soon, func() bool {
		return regexp.MustCompile(`soon after it was made; it is made anew in (\d+s|1m)`).
			MatchString(m.Shell("guest show " + name))
	})
	events := m.Console.Events(0, restarts)
	first, last := events[1].At.Sub(events[0].At), events[3].At.Sub(events[2].At)
	if last < 4*time.Second { // the pauses of the third and the fourth are 4 and 8 seconds
		m.Errorf("the guest was made anew %v after the first time, and %v at last", first, last)
	}
	m.Shell("guest destroy " + name)
}

// checkSSHSettings logs in at another port, at which a host shows itself by the key that it was given.
func (m *VM) checkSSHSettings(keys, hostKey string) {
	c := m.sshClientWith(keys, 2222)
	c.letIn()
	c.checkHostKey()
	file := filepath.Join(keys, "host")
	write(m.t, file, hostKey)
	if err := os.Chmod(file, 0o600); err != nil {
		m.t.Fatal(err)
	}
	want := strings.Fields(tool(m.t, "ssh-keygen", "-l", "-f", file))[1]
	shown := m.FromStart().Wait(`msg=`+boot.MsgSSH+` state=listening port=2222`, soon).Get("fingerprint")
	if shown != want {
		m.Errorf("the console shows the host key %s, and %s was given", shown, want)
	}
	c.says("hostname", "rack9")
	if said := m.Shell("cat /proc/net/tcp /proc/net/tcp6 | grep -c ':0016 .* 0A '"); said != "0" {
		m.Errorf("%s sockets listen on port 22", said)
	}
}

// checkOnFailure ends a guest in each way: it comes back after a crash and a reboot, and not after a power off.
func (m *VM) checkOnFailure(guest string) {
	now := m.FromNow()
	now.Shell("xl reboot " + guest)
	now.Wait(`msg="guest stopped" guest=`+guest, stopLimit)
	now.Wait(`msg="guest running" guest=`+guest, addressLimit)
	m.openConsole(guest)
	now = m.FromNow()
	now.Enter("(sleep 20; echo c > /proc/sysrq-trigger) &") // the harness would take its panic for dom0's
	m.leaveConsole()
	now.Wait(`msg="guest stopped" guest=`+guest, stopLimit)
	now.Wait(`msg="guest running" guest=`+guest, addressLimit)
	now = m.FromNow()
	now.Shell("xl shutdown " + guest)
	now.Wait(`msg="guest stopped" guest=`+guest, stopLimit)
	m.Until(guest+" is stopped", soon, func() bool {
		return regexp.MustCompile(`(?m)^` + guest + ` +stopped`).MatchString(m.Shell("guest list"))
	})
	m.FromNow().order("guest start " + guest)
	m.Wait(`msg="guest running" guest=`+guest, addressLimit)
}

// checkAddresses has guests take addresses by themselves: one has an address of its own and may use no other, one is
// trusted and may use even that.
func (m *VM) checkAddresses() {
	m.usesAddress("tty1", otherAddress, false)
	m.usesAddress("tty1", ownAddress, true)
	m.FromStart().Wait(`msg="guest traffic refused" guest=tty1`, faultLimit)
	m.FromNow().order("guest stop tty1")
	m.usesAddress("tty2", ownAddress, true)
	if m.Said(`msg="guest traffic refused" guest=tty2`) {
		m.Errorf("what a trusted guest sends is refused")
	}
}

// usesAddress gives a guest one more address, by hand, and has it ping from there.
func (m *VM) usesAddress(guest, address string, works bool) {
	m.t.Helper()
	m.openConsole(guest)
	m.Enter("ip addr add " + address + "/24 dev eth0")
	m.Enter("ip route replace 10.0.2.2/32 dev eth0 src " + address)
	m.FromNow().Enter("ping -c 3 10.0.2.2; echo ping\"\"ed")
	m.WaitText(`^pinged`, consoleLimit)
	if said := m.Said(`bytes from 10\.0\.2\.2`); said != works {
		m.Errorf("%s with %s has an answer: %v", guest, address, said)
	}
	m.leaveConsole()
}

// makeRebooter makes the initrd of a guest that reboots as soon as it has started.
func makeRebooter(t *testing.T, initrd string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "init")
	build := exec.Command("go", "build", "-o", program, "./rebooter")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	archive, content := initramfs.NewArchive(), new(bytes.Buffer)
	if err := errors.Join(archive.File("init", program, 0o755), archive.Write(content)); err != nil {
		t.Fatal(err)
	}
	write(t, initrd, content.String())
}

// makeAuthority makes a certificate that has signed itself, for this machine as guests of QEMU's user network see it.
func makeAuthority(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Logs"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(10, 0, 2, 2)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(text)
}

// receiveTLS is receiveStream by TLS (RFC 5425).
func receiveTLS(t *testing.T, certificate tls.Certificate) *received {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}})
	if err != nil {
		t.Fatal(err)
	}
	return receiveFrom(t, listener)
}
