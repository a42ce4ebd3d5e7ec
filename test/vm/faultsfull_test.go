//go:build vm && full

package vm

import (
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/testns"
	"github.com/zerodisc/zerodisc/test/vm/console"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// TestFaults provokes what can go wrong on a running host. Next to the demo's two guests are one that crashes again and
// again, and one that does what a hostile guest may do.
func TestFaults(t *testing.T) {
	t.Parallel()
	h, ntp := serveHostile(t), serveFalseTime(t)
	dir := t.TempDir()
	loop, other := guestDir(t, dir, "loop"), guestDir(t, dir, hostileGuest)
	reconfigure(t, loop, 96, "rdinit=/none init=/none panic=0")
	reconfigure(t, other, 192, "zerodisc.guest quiet cryptomgr.notests")
	iso := remaster(t, fmt.Sprintf("cmdline = zerodisc.ntp=10.0.2.2:%d\ntimeout = 1\n", ntp.port), loop, other)
	Story(t, qemu.Machine{ISO: iso, MemoryMiB: 1536}, func(m *VM) {
		m.Wait(`msg=ready`, bootLimit)
		addresses := m.waitAddresses()
		m.Run("crash loop", func(m *VM) { m.checkCrashLoop("loop") })
		m.checkFaults(addresses, quickFaults)
		m.checkFaults(addresses, networkFaults)
		m.checkFaults(addresses, ntp.faults())
		m.Run("services", (*VM).checkEachService)
		h.begin(m.FromNow())
		m.checkFaults(addresses, h.faults(addresses[0], m.dom0Address()))
	})
}

// reconfigure gives a guest of the demo's kind another kernel command line, and memory in MiB.
func reconfigure(t *testing.T, dir string, memory int, cmdline string) {
	t.Helper()
	write(t, filepath.Join(dir, filepath.Base(dir)+".cfg"), fmt.Sprintf(`kernel = "dom0"
ramdisk = "initrd.img"
extra = "console=hvc0 %s"
memory = %d
vif = [ '' ]
on_crash = "restart"
`, cmdline, memory))
}

// checkCrashLoop waits until a guest has crashed some times, with a pause that grows.
func (m *VM) checkCrashLoop(name string) {
	restarts := console.Query{"msg": "guest restarts", "guest": name}
	m.Until("the guest has crashed five times", bootLimit, func() bool {
		return len(m.Console.Events(0, restarts)) >= 5
	})
	if list := m.Shell("guest list"); !regexp.MustCompile(name + ` +(restarting|creating|running)`).MatchString(list) {
		m.Errorf("the crashing guest is not being restarted:\n%s", list)
	}
	m.Shell("guest destroy " + name)
}

// networkFaults are those of the cable.
var networkFaults = []fault{{
	name: "link down and up", provoke: func(m *VM) { m.setLink(false) },
	line: `msg=network state="link down"`, mend: func(m *VM) { m.setLink(true) }, mended: `msg=network state="link up"`,
}}

// setLink plugs the cable of the machine's NIC in, or pulls it.
func (m *VM) setLink(up bool) {
	m.t.Helper()
	if _, err := m.QMP("set_link", map[string]any{"name": fmt.Sprintf("net%d", m.nic), "up": up}); err != nil {
		m.fail("set the link", err)
	}
}

// checkEachService restarts each service that may be restarted, and kills each that has a process of its own.
func (m *VM) checkEachService() {
	running := regexp.MustCompile(`(?m)^(\S+) +running +(\d+|init) `)
	for _, service := range running.FindAllStringSubmatch(m.Shell("services"), -1) {
		name, process := service[1], service[2]
		switch {
		case name == "xenstored": // its own chapter
		case process == "init":
			if said := m.Shell("services restart " + name); said != "" {
				m.Errorf("services restart %s: %s", name, said)
			}
		default:
			m.FromNow().Shell("kill -9 " + process)
			m.Wait(`msg=daemon state=waiting name=`+name, soon)
		}
		m.Until(name+" runs", soon, func() bool {
			return regexp.MustCompile(`(?m)^` + name + ` +running `).MatchString(m.Shell("services"))
		})
	}
}

// faults are what the hostile guest does, and a program in dom0. neighbour is another guest's address, own is dom0's.
func (h *hostile) faults(neighbour, own string) []fault {
	guest := "guest=" + hostileGuest
	return []fault{
		h.fault("console flood", "console", `msg="guest flood" what=console `+guest),
		h.fault("xenstore flood", "xenstore", `msg="guest flood" what=xenstore `+guest),
		{
			name: "xenstore filled", provoke: h.order("quota"), line: `msg="guest flood" what=xenstore ` + guest,
			mend: func(m *VM) {
				if said := h.finish(m); !strings.Contains(said, "data/flood/") {
					m.Errorf("the guest could write as much as it liked: %s", said)
				}
			},
		},
		h.fault("log flood", "address", `msg="guest flood" what=address `+guest),
		h.fault("ARP spoofing", "arp", `msg="guest traffic refused" reason=arp `+guest),
		h.fault("DHCP spoofing", "dhcp", `msg="guest traffic refused" reason=dhcp `+guest),
		h.fault("RA spoofing", "ra", `msg="guest traffic refused" reason=ra `+guest),
		h.fault("neighbour's address", "pretend "+neighbour, `msg="guest traffic refused" reason=address `+guest),
		h.fault("ARP flood", "ask "+own, `msg="guest traffic refused" reason=flood `+guest),
		{
			name: "rules flushed", provoke: func(m *VM) { m.Enter(h.fetchProgram() + " && /tmp/hostile flush") },
			line: `msg="network rules" state=restored by=hostile`,
		},
		h.fault("MAC spoofing", "mac", `msg="guest traffic refused" reason=mac `+guest),
		{
			name: "API client never reads", provoke: func(m *VM) { m.Enter(h.fetchProgram() + " && /tmp/hostile api") },
			line: `msg=api err="clients have too many connections open: more are refused"`,
			mend: func(m *VM) {
				m.Until("guest list works", faultLimit, func() bool {
					return strings.Contains(m.Shell("guest list"), guests[0])
				})
			},
		},
	}
}

// falseTime is a time server that may be a year off, or silent.
type falseTime struct {
	port   int
	offset atomic.Int64 // seconds
	silent atomic.Bool
}

func serveFalseTime(t *testing.T) *falseTime {
	t.Helper()
	conn, port := listenUDP(t)
	f := &falseTime{port: port}
	go answerTime(conn, func() (time.Time, bool) {
		return time.Now().Add(time.Duration(f.offset.Load()) * time.Second), !f.silent.Load()
	})
	return f
}

const year = 365 * 24 * 60 * 60 // seconds

// faults are those of the clock and its servers. A restarted service asks at once.
func (f *falseTime) faults() []fault {
	restart := func(m *VM) { m.Shell("services restart ntp") }
	return []fault{
		{
			name: "clock set by hand", provoke: func(m *VM) { m.Shell("date -u 010100002030") },
			line: `msg=time state=moved`, mended: `msg=time state=stepped`,
		},
		{
			name: "clock jump of a year", provoke: func(m *VM) {
				f.offset.Store(year)
				restart(m)
			},
			line: `msg=time state=stepped`, mend: func(m *VM) {
				f.offset.Store(0)
				restart(m)
			},
			mended: `msg=time state=stepped`,
		},
		{
			name: "NTP down", provoke: func(m *VM) {
				f.silent.Store(true)
				restart(m)
			},
			line: `msg=time state=unreachable`, mend: func(m *VM) {
				f.silent.Store(false)
				restart(m)
			},
			mended: `msg=time state=set`,
		},
	}
}

// TestLeaseLost has the DHCP server give dom0's address up: it offers others after a restart, and refuses the old
// one. dom0 takes another; then another host takes that. Its guests go on.
func TestLeaseLost(t *testing.T) {
	testns.Run(t, syscall.CLONE_NEWNET, bootLeaseLost)
}

func bootLeaseLost(t *testing.T) {
	makeTap(t, "tap0", "192.168.77.1/24")
	server := startServer(t, "tap0", "192.168.77.100-192.168.77.110")
	Story(t, qemu.Machine{NICs: []qemu.NIC{{Net: qemu.Tap("tap0")}}}, func(m *VM) {
		m.waitGuests()
		before := m.domains()
		server.stop()
		server = startServer(t, "tap0", "192.168.77.200-192.168.77.210")
		m.FromNow()
		m.setLink(false)
		m.Wait(`msg=network state="link down"`, soon)
		m.setLink(true)
		address := m.newAddress()
		if !strings.HasPrefix(address, "192.168.77.2") {
			m.Errorf("dom0 has the address %s", address)
		}
		m.FromNow()
		undo := takeAddress(t, "tap0", address)
		lost := m.Wait(`msg="`+boot.MsgLeaseLost+`"`, soon)
		if !strings.Contains(lost.Get("err"), address) {
			m.Errorf("%v", lost)
		}
		undo()
		if next := m.newAddress(); next == address {
			m.Errorf("dom0 has the address %s again, which another host took", next)
		}
		if now := m.domains(); strings.Join(now, " ") != strings.Join(before, " ") {
			m.Errorf("the guests' domains are %s, and were %s", now, before)
		}
	})
}

// newAddress waits until dom0 has an address, and checks that its SSH server can be reached there.
func (m *VM) newAddress() string {
	address, _, _ := strings.Cut(m.Wait(`msg="host address"`, addressLimit).Get("address"), "/")
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(address, "22"), soon)
	if err != nil {
		m.Errorf("the SSH server at the new address: %v", err)
	} else {
		conn.Close()
	}
	return address
}

// takeAddress gives an interface of this machine an address that another host has, and asks the network for a third
// one, which nobody has, from there: the kernel asks for that three times, with the address. A host gives up its own at
// the second. undo takes it away again.
func takeAddress(t *testing.T, name, address string) (undo func()) {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	addr, err := netlink.ParseAddr(address + "/32")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(link, addr); err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialUDP("udp", &net.UDPAddr{IP: addr.IP}, &net.UDPAddr{IP: net.IPv4(192, 168, 77, 30), Port: 9})
	if err == nil {
		_, err = conn.Write([]byte("who has it?"))
		conn.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := netlink.AddrDel(link, addr); err != nil {
			t.Error(err)
		}
	}
}
