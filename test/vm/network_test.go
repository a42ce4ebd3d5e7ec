//go:build vm

package vm

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/testns"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// TestNoNIC boots without a network and then crashes stage2: another one goes on. When that crashes, too, the machine
// stays, with a shell that says what happened.
func TestNoNIC(t *testing.T) {
	t.Parallel()
	Story(t, qemu.Machine{NICs: []qemu.NIC{}}, func(m *VM) {
		m.Wait(`msg=ready guests=2`, bootLimit)
		m.Run("guests run", func(m *VM) { m.checkListed(guests...) })
		m.Run("stage2 killed", (*VM).checkStage2Killed)
		m.Run("guest reboots after the crash", (*VM).checkReboot)
		m.Run("stage2 killed again", (*VM).checkEmergency)
		m.Run("power off after the crash", func(m *VM) {
			m.Enter("poweroff")
			m.WaitOff(stopLimit)
		})
	})
}

// checkEmergency kills the second process soon after the first one: there are shells, and nothing but the guests.
func (m *VM) checkEmergency() {
	now := m.FromNow()
	now.Enter("kill -9 " + m.Stage2())
	now.Wait(`msg="init crashed"`, soon)
	now.WaitText("emergency shell", soon)
	m.ForgetShell()
	if said := m.Shell("services"); !strings.Contains(said, "init does not run") {
		m.Errorf("services: %s", said)
	}
	if said := m.Shell("guest list 2> /dev/null; echo status $?"); said != "status 6" {
		m.Errorf("guest list without init: %s", said)
	}
	if said := m.Shell("xl list"); !strings.Contains(said, guests[0]) || !strings.Contains(said, guests[1]) {
		m.Errorf("xl list: %s", said)
	}
}

// checkStage2Killed kills the second process: process 1 starts another one, and the guests go on.
func (m *VM) checkStage2Killed() {
	stage2 := m.Stage2()
	now := m.FromNow()
	now.Enter("kill -9 " + stage2)
	now.Wait(`msg="init crashed"`, soon)
	now.Wait(`msg="`+boot.MsgResumed+`" guests=2`, bootLimit)
	m.ForgetShell()
	if got := m.Shell("cat /proc/1/comm"); got != "init" {
		m.Errorf("process 1 is %q", got)
	}
	if again := m.Shell("cat /proc/" + stage2 + "/cmdline"); strings.Contains(again, "stage2") {
		m.Errorf("process %s is still stage2", stage2)
	}
	m.checkListed(guests...)
}

// checkReboot reboots the first guest.
func (m *VM) checkReboot() {
	m.FromNow().Shell("xl reboot " + guests[0])
	m.Wait(`msg="guest stopped" guest=`+guests[0], stopLimit)
	m.Wait(`msg="guest running" guest=`+guests[0], stopLimit)
	m.agree("after a reboot", map[string]string{guests[0]: "running", guests[1]: "running"})
}

// TestNoDHCPServer boots on a network where nobody answers: the console says so and the guests
// start all the same.
func TestNoDHCPServer(t *testing.T) {
	t.Parallel()
	Story(t, qemu.Machine{NICs: []qemu.NIC{{Net: qemu.NoServer}}}, func(m *VM) {
		m.Wait(`msg=ready guests=2`, bootLimit)
		m.Wait(`msg="no DHCP lease"`, addressLimit)
		m.checkListed(guests...)
		m.Run("kernel answers", func(m *VM) { // what the harness relies on where a kernel seems to hang
			if !m.kernelAnswers() {
				m.Errorf("dom0's kernel does not answer SysRq on its console")
			}
		})
	})
}

// TestNetboot starts machines from the network: by GRUB on both firmwares, by iPXE on BIOS. Everything
// is in the initrd then.
func TestNetboot(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		machine qemu.Machine
	}{
		{"PXE BIOS", qemu.Machine{BootFile: "pxe-bios.0"}},
		{"PXE UEFI", qemu.Machine{
			BootFile: "pxe-uefi.efi", Firmware: qemu.UEFI, NICs: []qemu.NIC{{Model: "virtio-net-pci"}},
		}},
		{"iPXE BIOS", qemu.Machine{BootFile: "boot.ipxe"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.machine.ISO, test.machine.Medium = Netboot(), qemu.PXE
			Story(t, test.machine, func(m *VM) {
				m.checkPages(m.waitGuests())
				if mounts := m.Shell("cat /proc/mounts"); strings.Contains(mounts, boot.MediaMount) {
					m.Errorf("a medium is mounted:\n%s", mounts)
				}
			})
		})
	}
}

// TestServe boots a machine with mkiso serve on the other end of the cable, which is all that it needs: it
// gives the addresses away, and UEFI, then GRUB, load everything by HTTP. The cable and both ends are in
// a network of their own, from which dom0 is then scanned.
func TestServe(t *testing.T) {
	t.Parallel()
	testns.Run(t, syscall.CLONE_NEWNET, bootServed)
}

func bootServed(t *testing.T) {
	makeTap(t, "tap0", "192.168.77.1/24")
	server := startServer(t, "tap0", "192.168.77.100-192.168.77.120")
	machine := qemu.Machine{
		Medium: qemu.HTTP, Firmware: qemu.UEFI, NICs: []qemu.NIC{{Model: "virtio-net-pci", Net: qemu.Tap("tap0")}},
	}
	Story(t, machine, func(m *VM) {
		for i, address := range m.waitGuests() {
			m.checkServedPage(guests[i], address)
		}
		m.Run("lockdown", (*VM).checkLockdown)
		m.Run("what listens", func(m *VM) { m.checkListens("192.168.77.1") })
		m.Run("a thousand SSH connections", (*VM).checkCrowd)
		server.stop()
		for _, want := range []string{"UEFI HTTP Boot asks", "/pxe-uefi.efi", "/boot/initrd.img"} {
			if !strings.Contains(server.said.String(), want) {
				m.Errorf("mkiso serve does not mention %s:\n%s", want, server.said.String())
			}
		}
		if strings.Contains(server.said.String(), "not sent") {
			m.Errorf("mkiso serve was asked for what it does not have:\n%s", server.said.String())
		}
	})
}

// checkServedPage fetches a guest's page over the cable.
func (m *VM) checkServedPage(guest, address string) {
	m.t.Helper()
	ctx, cancel := m.Within(soon)
	defer cancel()
	page, err := fetch(ctx, "http://"+address+"/")
	if err != nil || !strings.Contains(page, guest) {
		m.Errorf("the page of %s: %v\n%s", guest, err, page)
	}
}

// makeTap makes a network interface that a machine can be plugged into.
func makeTap(t *testing.T, name, cidr string) {
	t.Helper()
	tap := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: name}, Mode: netlink.TUNTAP_MODE_TAP}
	if err := netlink.LinkAdd(tap); err != nil {
		t.Skipf("no tap interface: %v", err)
	}
	address, err := netlink.ParseAddr(cidr)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(tap, address); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(tap); err != nil {
		t.Fatal(err)
	}
}

// served is a mkiso serve that runs.
type served struct {
	process *exec.Cmd
	said    strings.Builder
}

func startServer(t *testing.T, tap, pool string) *served {
	t.Helper()
	program, err := mkisoProgram()
	if err != nil {
		t.Fatal(err)
	}
	s := &served{process: exec.CommandContext(context.Background(), program,
		"serve", "-dir", Netboot(), "-interface", tap, "-range", pool)}
	s.process.Stdout, s.process.Stderr = &s.said, &s.said
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("mkiso serve:\n%s", s.said.String())
		}
	})
	return s
}

// stop ends the server; what it said is complete then.
func (s *served) stop() {
	_ = s.process.Process.Signal(os.Interrupt)
	_ = s.process.Wait()
}
