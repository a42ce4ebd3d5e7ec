// Package vm holds the system tests: they boot the shipped image in QEMU and assert on what it
// says on its serial console (docs/console.md). Run them with `make vm`; they stand behind the
// build tag vm, so that `go test ./...` needs neither QEMU nor an image.
//
// Environment: ZERODISC_ISO is the image (default build/zerodisc.iso), ZERODISC_NETBOOT the
// netboot tree (default build/netboot), ACCEL is auto, tcg or kvm
// (default auto). What a machine leaves behind, its serial log and screenshots, is in build/vm/.
package vm

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/test/vm/console"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// buildDir is the build directory as seen from this package's tests.
const buildDir = "../../build"

// VM is a running machine in a test. What goes wrong ends the test with the last lines of the
// serial console and a command that boots the same machine.
type VM struct {
	*qemu.Process
	t     *testing.T
	story *story
	mark  console.Mark
	nic   int // number of the NIC on the user network
	accel qemu.Accel
}

// Image returns the path of the image under test.
func Image() string {
	if iso := os.Getenv("ZERODISC_ISO"); iso != "" {
		return iso
	}
	return filepath.Join(buildDir, "zerodisc.iso")
}

// Netboot returns the path of the netboot tree under test.
func Netboot() string {
	if dir := os.Getenv("ZERODISC_NETBOOT"); dir != "" {
		return dir
	}
	return filepath.Join(buildDir, "netboot")
}

// Start powers a machine on and cuts its power when the test ends. It boots the image under test
// unless it names another.
func Start(t *testing.T, m qemu.Machine) *VM {
	t.Helper()
	return start(m, &story{t: t})
}

func start(m qemu.Machine, s *story) *VM {
	t := s.t
	t.Helper()
	if m.ISO == "" {
		m.ISO = Image()
	}
	var err error
	if m.Emulator, err = qemu.Debian(); err != nil {
		t.Fatal(err)
	}
	if m.Accel, err = qemu.ParseAccel(os.Getenv("ACCEL"), m.Emulator); err != nil {
		t.Fatalf("environment ACCEL: %v", err)
	}
	p, err := qemu.Launch(m, filepath.Join(buildDir, "vm", strings.ReplaceAll(t.Name(), "/", "-")+s.suffix))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return &VM{Process: p, t: t, story: s, accel: m.Accel, nic: userNIC(m.NICs)}
}

// userNIC returns the number of the first NIC on the user network.
func userNIC(nics []qemu.NIC) int {
	for i, nic := range nics {
		if nic.Net == "" || nic.Net == qemu.UserNet {
			return i
		}
	}
	return 0
}

// initLimit is how long after power-on init says its first line at the latest; 20 s are usual under TCG.
const initLimit = 240 * time.Second

// skipMenu starts GRUB's default at once where its menu counts down.
func (m *VM) skipMenu(ctx context.Context) error {
	line, err := m.Console.WaitLine(ctx, 0, menuOrLater)
	if err == nil && strings.Contains(line.Text, menuCounts) {
		err = m.Process.Type("\r")
	}
	return err
}

const menuCounts = "executed automatically in"

var menuOrLater = regexp.MustCompile(menuCounts + `|\(XEN\) |^level=INFO msg=`)

// awaitInit waits for init's first line.
func (m *VM) awaitInit(limit time.Duration) error {
	ctx, cancel := m.Within(limit)
	defer cancel()
	if err := m.skipMenu(ctx); err != nil {
		return err
	}
	_, err := m.Console.WaitEvent(ctx, 0, console.Query{"msg": boot.MsgInit})
	return err
}
