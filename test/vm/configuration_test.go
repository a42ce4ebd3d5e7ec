//go:build vm

package vm

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// Configurations of a disc, a labelled volume and a web server. The volume's has two faults. What the web server's says
// of networks takes effect although it comes late.
const (
	discConfig = `hostname: from-disc
timezone: Europe/Berlin
keyboard: de
stores: {budget: 64M}
dns: {servers: [10.0.2.3]}
services: {board: no}
network:
  bonds:
    bond0: {nics: ["52:54:00:12:34:57", "52:54:00:12:34:58"]}
  bridges:
    dmz: {nic: bond0, vlan: 20, ipv4: {addresses: [192.0.2.5/24]}, ipv6: {addresses: ["2001:db8::5/64"]}}
    lan: {private: {address: 10.11.0.1/24, range: 10.11.0.100-10.11.0.200}}
guests:
  tty1: {order: 2, memory: 112M, network: {bridge: lan, address: 10.11.0.10, mac: "52:54:00:aa:00:01"}}
  tty2: {order: 1, network: {bridge: lan, rate: 4Mbit/s, inbound: [{protocol: tcp, ports: "80"}]}}
`

	volumeConfig = `hostname: from-volume
keyboard: dee
netwrok: {}
network:
  default-bridge: lan0
ssh: {port: 70000}
guests: {tty1: {memory: 104M}}
`

	webConfig = "hostname: from-web\ntimezone: Asia/Tokyo\n" +
		"network: {fallback: no, bridges: {new: {private: {address: 10.12.0.1/24}}}}\n"
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

// serveHTTP serves h for as long as the test runs, and returns its port.
func serveHTTP(t *testing.T, h http.Handler) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return listener.Addr().(*net.TCPAddr).Port
}

// serveConfig serves a configuration to machines, and returns its port. The first answer is that it is not there yet.
func serveConfig(t *testing.T, text string) int {
	t.Helper()
	asked := 0
	return serveHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == bigFile {
			_, _ = w.Write(make([]byte, bigSize))
			return
		}
		if asked++; asked == 1 || !strings.HasPrefix(r.URL.Path, "/52:54:00:") {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(text))
	}))
}

// A file of the web server, which a guest that may get 4 Mbit/s needs two seconds for.
const (
	bigFile = "/big"
	bigSize = 2 * 4e6 / 8
)

// checkBond has a look at a VLAN over a bond on a bridge: its frames are tagged, and go by the other network card when
// the link of the first is down. own are dom0's addresses there; the cables' ends are network cards 1 and 2.
func (m *VM) checkBond(wires []*wire, own ...net.IP) {
	first := slices.IndexFunc(wires, func(w *wire) bool {
		return !slices.ContainsFunc(own, func(address net.IP) bool {
			if address4 := address.To4(); address4 != nil {
				return !w.saw(unix.ETH_P_ARP, address4)
			}
			return !w.saw(unix.ETH_P_IPV6, address)
		})
	})
	if first < 0 {
		m.Errorf("no cable has seen ARP and neighbour discovery of the static addresses in VLAN 20")
		return
	}
	if out := m.Shell("ping -c 1 127.0.0.1"); !strings.Contains(out, "time=") {
		m.Errorf("dom0 does not reach itself: %s", out)
	}
	ping := func() bool { return strings.Contains(m.Shell("ping -c 1 192.0.2.9"), "time=") }
	m.Until("the host in the VLAN answers", soon, ping)
	if _, err := m.QMP("set_link", map[string]any{"name": fmt.Sprintf("net%d", first+1), "up": false}); err != nil {
		m.Fatalf("%v", err)
	}
	other := wires[1-first]
	other.forget()
	m.Until("the host answers by the other card", soon, ping)
	if !other.saw(unix.ETH_P_IP, own[0].To4()) {
		m.Errorf("the other card's cable has not seen the packets")
	}
}

// checkRate has a guest fetch a file from beyond dom0, and so by dom0's address.
func (m *VM) checkRate(guest string, port int) {
	m.FromNow().Enter("xl console " + guest)
	m.FromNow().Until("the guest's shell answers", consoleLimit, func() bool {
		m.Enter("hostname")
		return m.Said(`^` + guest)
	})
	start := time.Now()
	m.FromNow().Enter(fmt.Sprintf("wget -O /big http://10.0.2.2:%d%s && ls -l /big && echo got\"\"it", port, bigFile))
	m.WaitText(`^gotit`, consoleLimit)
	if took := time.Since(start); took < 2*time.Second {
		m.Errorf("%d bytes in %v: the rate is not limited", int(bigSize), took)
	}
	m.leaveConsole()
}

// checkConfiguredNetwork has a look at a private network: its guests have the addresses, the order, the memory and the
// rate that are configured, and one reaches the other by its name, and the world by dom0's address. Of dom0 they reach
// DHCP and DNS.
func (m *VM) checkConfiguredNetwork(port int) {
	m.Wait(`msg="private network" bridge=lan state=started`, bootLimit)
	m.Wait(`msg="private network" bridge=new state=started`, bootLimit)
	for i, guest := range []string{"tty2", "tty1"} {
		m.Wait(fmt.Sprintf(`msg="guest running" guest=%s domid=%d`, guest, i+1), bootLimit)
	}
	m.Wait(`msg="guest address" guest=tty1 address=10.11.0.10`, addressLimit)
	m.Wait(`msg="guest address" guest=tty2`, addressLimit)
	if got := m.Shell("xl list tty1 | grep -c ' 104 '"); got != "1" {
		m.Errorf("tty1's memory is another one: %s", m.Shell("xl list"))
	}
	if list := m.Shell("xl network-list tty1"); !strings.Contains(list, "52:54:00:aa:00:01") {
		m.Errorf("tty1's MAC address is another one: %s", list)
	}
	m.checkPageByName("tty1", "tty2")
	m.checkRate("tty2", port)
	m.scanFromGuest("tty1", fromPrivateGuest, m.serveScanner("127.0.0.1"), "10.0.2.2", "10.11.0.1")
}

// checkPageByName has a guest read another's page, whose address it asks dom0 for.
func (m *VM) checkPageByName(guest, other string) {
	m.FromNow().Enter("xl console " + guest)
	m.FromNow().Until(guest+" reads the page of "+other+" by its name", consoleLimit, func() bool {
		m.Enter("wget -O - http://" + other + "/")
		return m.Said(`<title>` + other + `</title>`)
	})
	m.leaveConsole()
}

// TestConfiguration boots a disc with a configuration next to a volume with another one, and with a third on a web
// server. Each counts as it should, and what is wrong is named.
func TestConfiguration(t *testing.T) {
	t.Parallel()
	port := serveConfig(t, webConfig)
	settings := fmt.Sprintf("cmdline = zerodisc.config=http://10.0.2.2:%d/{mac}.yaml zerodisc.ssh=maybe\ntimeout = 1\n",
		port)
	wires := []*wire{layWire(t, 20, "192.0.2.9"), layWire(t, 20, "192.0.2.9")}
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, boot.ConfigName), []byte(volumeConfig), 0o644); err != nil {
		t.Fatal(err)
	}
	volume := makeFileSystem(t, root,
		`mkfs.vfat -F 32 -n `+boot.ConfigFATLabel+` $FILE >/dev/null && mcopy -i $FILE $DIR/* ::`)
	machine := qemu.Machine{
		ISO: configuredDisc(t, settings, discConfig), MemoryMiB: 1024, Disks: []qemu.Disk{{File: volume}},
		NICs: []qemu.NIC{{}, {Net: wires[0].net()}, {Net: wires[1].net()}},
	}
	Story(t, machine, func(m *VM) {
		m.Wait(`msg="kernel parameter" key=zerodisc.ssh`, bootLimit)
		for _, key := range []string{"netwrok", "ssh.port", "keyboard"} {
			if line := m.Wait(`msg=config key=`+key, bootLimit); line.Get("line") == "" {
				m.Errorf("%v", line)
			}
		}
		m.Wait(`msg=ready guests=2`, bootLimit)
		m.Wait(`msg="host address" interface=dmz address=192.0.2.5/24`, bootLimit)
		m.Wait(`msg="host IPv6 address" interface=dmz address=2001:db8::5/64 by=static`, bootLimit)
		m.checkBond(wires, net.ParseIP("192.0.2.5"), net.ParseIP("2001:db8::5"))
		m.checkConfiguredNetwork(port)
		m.Enter("zerodisc-config")
		for _, want := range []string{
			`^hostname +from-volume +/dev/`, `^timezone +Asia/Tokyo +http://10.0.2.2`,
			`^network.default-bridge +lan0 +/dev/`, `^guests.tty1.memory +104M +/dev/`,
			`^keyboard +de +/media/boot/zerodisc.yaml`,
			`^stores.budget +64M +/media/boot/zerodisc.yaml`, `^network.fallback +no +http://10.0.2.2`,
		} {
			m.WaitText(want, soon)
		}
		m.Enter("hostname; date; cat /etc/resolv.conf; ip addr show lan0")
		for _, want := range []string{"^from-volume", " JST ", "^nameserver 10.0.2.3", "10.0.2.15/24"} {
			m.WaitText(want, soon)
		}
		m.checkKeyboard()
		m.checkPowerOff(typePowerOff)
	})
}

// checkKeyboard types on the screen, where there is a shell and no board, with a German layout: the key that has a Y on
// it elsewhere is a Z.
func (m *VM) checkKeyboard() {
	for _, key := range []string{"l", "s", "spc", "y", "ret"} {
		m.press(key)
	}
	m.untilScreen("1", "ls z")
}
