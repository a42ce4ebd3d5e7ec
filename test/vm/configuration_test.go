//go:build vm

package vm

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// Configurations of a disc, a labelled volume and a web server. The volume's has two faults.
const (
	discConfig = `hostname: from-disc
timezone: Europe/Berlin
stores: {budget: 64M}
dns: {servers: [10.0.2.3]}
services: {board: no}
network:
  bridges:
    dmz: {nic: eth0, vlan: 20, ipv4: {addresses: [192.0.2.5/24]}}
    lan: {private: {address: 10.11.0.1/24, range: 10.11.0.100-10.11.0.200}}
guests:
  tty1: {order: 2, memory: 112M, network: {bridge: lan, address: 10.11.0.10}}
  tty2: {order: 1, network: {bridge: lan, inbound: [{protocol: tcp, ports: "80"}]}}
`

	volumeConfig = `hostname: from-volume
netwrok: {}
network:
  default-bridge: lan0
ssh: {port: 70000}
guests: {tty1: {memory: 104M}}
`

	webConfig = "hostname: from-web\ntimezone: Asia/Tokyo\nnetwork: {fallback: no}\n"
)

// configuredDisc is a disc with settings and a configuration.
func configuredDisc(t *testing.T, settings, config string) string {
	t.Helper()
	dir := t.TempDir()
	file, iso := filepath.Join(dir, boot.ConfigName), filepath.Join(dir, "configured.iso")
	write(t, file, config)
	args := []string{"add", remaster(t, settings), "-config", file, "-o", iso}
	if out, err := mkiso(t, args...); err != nil {
		t.Fatalf("mkiso %s: %v\n%s", qemu.Quote(args), err, out)
	}
	return iso
}

// serveConfig serves a configuration to machines, and returns its port. The first answer is that it is not there yet.
func serveConfig(t *testing.T, text string) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 1 || !strings.HasPrefix(r.URL.Path, "/52:54:00:") {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(text))
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return listener.Addr().(*net.TCPAddr).Port
}

// checkConfiguredNetwork has a look at a VLAN's bridge, and at a private network: its guests have the addresses, the
// order and the memory that are configured, and one reaches the other by its name. Of dom0 they reach DHCP and DNS.
func (m *VM) checkConfiguredNetwork() {
	m.Wait(`msg="private network" bridge=lan state=started`, bootLimit)
	m.Wait(`msg="host address" interface=dmz address=192.0.2.5/24`, bootLimit)
	for i, guest := range []string{"tty2", "tty1"} {
		m.Wait(fmt.Sprintf(`msg="guest running" guest=%s domid=%d`, guest, i+1), bootLimit)
	}
	m.Wait(`msg="guest address" guest=tty1 address=10.11.0.10`, addressLimit)
	m.Wait(`msg="guest address" guest=tty2`, addressLimit)
	if got := m.Shell("xl list tty1 | grep -c ' 104 '"); got != "1" {
		m.Errorf("tty1's memory is another one: %s", m.Shell("xl list"))
	}
	m.FromNow().Enter("xl console tty1")
	m.FromNow().Until("tty1 reads tty2's page by its name", consoleLimit, func() bool {
		m.Enter("wget -O - http://tty2/")
		return m.Said(`<title>tty2</title>`)
	})
	m.leaveConsole("tty1")
	m.scanFromGuest("tty1", fromPrivateGuest, m.serveScanner("127.0.0.1"), "10.0.2.2", "10.11.0.1")
}

// TestConfiguration boots a disc with a configuration next to a volume with another one, and with a third on a web
// server. Each counts as it should, and what is wrong is named.
func TestConfiguration(t *testing.T) {
	t.Parallel()
	settings := fmt.Sprintf("cmdline = zerodisc.config=http://10.0.2.2:%d/{mac}.yaml zerodisc.ssh=maybe\ntimeout = 1\n",
		serveConfig(t, webConfig))
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, boot.ConfigName), []byte(volumeConfig), 0o644); err != nil {
		t.Fatal(err)
	}
	volume := makeFileSystem(t, root,
		`mkfs.vfat -F 32 -n `+boot.ConfigFATLabel+` $FILE >/dev/null && mcopy -i $FILE $DIR/* ::`)
	machine := qemu.Machine{
		ISO: configuredDisc(t, settings, discConfig), MemoryMiB: 1024, Disks: []qemu.Disk{{File: volume}},
	}
	Story(t, machine, func(m *VM) {
		m.Wait(`msg="kernel parameter" key=zerodisc.ssh`, bootLimit)
		for _, key := range []string{"netwrok", "ssh.port"} {
			if line := m.Wait(`msg=config key=`+key, bootLimit); line.Get("line") == "" {
				m.Errorf("%v", line)
			}
		}
		m.Wait(`msg=config key=network`, bootLimit) // of the web server: too late
		m.Wait(`msg=ready guests=2`, bootLimit)
		m.checkConfiguredNetwork()
		m.Enter("zerodisc-config")
		for _, want := range []string{
			`^hostname +from-volume +/dev/`, `^timezone +Asia/Tokyo +http://10.0.2.2`,
			`^network.default-bridge +lan0 +/dev/`, `^guests.tty1.memory +104M +/dev/`,
			`^stores.budget +64M +/media/boot/zerodisc.yaml`,
		} {
			m.WaitText(want, soon)
		}
		m.Enter("hostname; date; cat /etc/resolv.conf; ip addr show lan0")
		for _, want := range []string{"^from-volume", " JST ", "^nameserver 10.0.2.3", "10.0.2.15/24"} {
			m.WaitText(want, soon)
		}
		m.checkPowerOff(typePowerOff)
	})
}
