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
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/test/vm/console"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// buildDir is the build directory as seen from this package's tests.
const buildDir = "../../build"

// shellLimit is how long a command in the shell may take.
const shellLimit = 60 * time.Second

// VM is a running machine in a test. What goes wrong ends the test with the last lines of the
// serial console and a command that boots the same machine.
type VM struct {
	*qemu.Process
	t    testing.TB
	mark console.Mark
	nic  int // number of the NIC on the user network

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

// Start powers a machine on and cuts its power when the test ends. A machine without an image
// boots the one under test.
func Start(t testing.TB, m qemu.Machine) *VM {
	t.Helper()
	if m.ISO == "" {
		m.ISO = Image()
	}
	accel, err := qemu.ParseAccel(os.Getenv("ACCEL"))
	if err != nil {
		t.Fatalf("environment ACCEL: %v", err)
	}
	m.Accel = accel
	p, err := qemu.Launch(m, filepath.Join(buildDir, "vm", strings.ReplaceAll(t.Name(), "/", "-")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return &VM{Process: p, t: t, nic: userNIC(m.NICs), accel: accel}
}

// initLimit is how long after power-on init says its first line at the latest; 30 s are usual under TCG.
const initLimit = 150 * time.Second

// hung counts the machines of this run whose dom0 kernel never got to init.
var hung atomic.Int32

// Boot powers a machine on and waits for init. Under emulation dom0's kernel has once hung for good
// before anything of the disc's own ran, in one of some hundred boots; that is forgiven once in a run: the
// log gets what Xen and QEMU know of the processors, and the machine is switched off and on again.
func Boot(t testing.TB, m qemu.Machine) *VM {
	t.Helper()
	vm := Start(t, m)
	err := vm.awaitInit(initLimit)
	switch {
	case err == nil:
		return vm
	case !vm.kernelHangs(err) || hung.Add(1) > 1:
		vm.fail(fmt.Sprintf("wait %v for init", initLimit), err)
	}
	t.Logf("dom0's kernel hangs; the machine is switched off and on\n%s\n%s", vm.processors(), vm.Report())
	vm.Close()
	return Boot(t, m)
}

// awaitInit waits for init's first line.
func (m *VM) awaitInit(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	_, err := m.Console.WaitEvent(ctx, 0, console.Query{"msg": boot.MsgInit})
	return err
}

// kernelHangs says of awaitInit's error that dom0's kernel was started under emulation and came to nothing.
func (m *VM) kernelHangs(err error) bool {
	return errors.Is(err, console.ErrDeadline) && m.accel == qemu.TCG && m.Console.Contains(dom0Entered)
}

// dom0Entered is the first that dom0's kernel says (xen_start_kernel in Linux' arch/x86/xen).
const dom0Entered = "about to get started"

// processors makes Xen tell on the console what dom0's processors are at, and returns what QEMU knows
// of the real ones.
func (m *VM) processors() string {
	_ = m.Process.Type("\x01\x01\x01") // the keys of the console go to Xen now
	for _, key := range []string{"0", "q", "d"} {
		_ = m.Process.Type(key)
		time.Sleep(2 * time.Second)
	}
	registers, err := m.QMP("human-monitor-command", map[string]any{"command-line": "info registers -a"})
	if err != nil {
		return err.Error()
	}
	return strings.ReplaceAll(string(registers), `\r\n`, "\n")
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

// In returns the machine for use in a subtest.
func (m *VM) In(t testing.TB) *VM {
	other := *m
	other.t = t
	return &other
}

// FromNow makes every later wait ignore what has been said so far.
func (m *VM) FromNow() *VM {
	m.mark = m.Console.Mark()
	return m
}

// fail ends the test and says how to look into it.
func (m *VM) fail(what string, err error) {
	m.t.Helper()
	screen := filepath.Join(m.Dir(), "screen.png")
	if path, e := filepath.Abs(screen); e == nil && m.Screenshot(path) == nil {
		what += " (screen: " + path + ")"
	}
	m.t.Fatalf("%s: %v\n%s", what, err, m.Report())
}

// Wait waits for a line of init's that has all keys and values of query, such as
// `msg="guest running" guest=tty1`.
func (m *VM) Wait(query string, limit time.Duration) console.Event {
	m.t.Helper()
	q, err := console.ParseQuery(query)
	if err != nil {
		m.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	event, err := m.Console.WaitEvent(ctx, m.mark, q)
	if err != nil {
		m.fail(fmt.Sprintf("wait %v for %s", limit, query), err)
	}
	return event
}

// WaitText waits for a line, finished or not, that the regular expression matches.
func (m *VM) WaitText(expression string, limit time.Duration) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	line, err := m.Console.WaitLine(ctx, m.mark, regexp.MustCompile(expression))
	if err != nil {
		m.fail(fmt.Sprintf("wait %v for /%s/", limit, expression), err)
	}
	return line.Text
}

// WaitOff waits until the machine has switched itself off.
func (m *VM) WaitOff(limit time.Duration) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := m.Process.WaitOff(ctx); err != nil {
		m.fail(fmt.Sprintf("wait %v for power off", limit), err)
	}
}

// Once checks that exactly one line answers query so far.
func (m *VM) Once(query string) {
	m.t.Helper()
	q, err := console.ParseQuery(query)
	if err != nil {
		m.t.Fatal(err)
	}
	if events := m.Console.Events(m.mark, q); len(events) != 1 {
		m.t.Errorf("%d lines with %s, want one", len(events), query)
	}
}

// Shell runs a command in the root shell on the serial console and returns what it printed.
func (m *VM) Shell(command string) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), shellLimit)
	defer cancel()
	out, err := m.Process.Shell(ctx, command)
	if err != nil {
		m.fail(fmt.Sprintf("shell: %s", command), err)
	}
	return out
}

// Stage2 returns the process id of stage2.
func (m *VM) Stage2() string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), shellLimit)
	defer cancel()
	pid, err := m.Process.Stage2(ctx)
	if err != nil {
		m.fail("find stage2", err)
	}
	return pid
}

// Type types on the serial console; "\r" is the return key.
func (m *VM) Type(text string) {
	m.t.Helper()
	if err := m.Process.Type(text); err != nil {
		m.fail("type "+text, err)
	}
}

// Enter types a command whose output is for somebody else to wait for.
func (m *VM) Enter(line string) {
	m.t.Helper()
	if err := m.Process.Enter(line); err != nil {
		m.fail("type "+line, err)
	}
}

// Fetch gets the page that a host at address, behind the machine's NIC, serves on port 80.
func (m *VM) Fetch(address string, limit time.Duration) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	from, err := m.Forward(ctx, m.nic, address, 80)
	if err != nil {
		m.t.Fatal(err)
	}
	page, err := fetch(ctx, "http://"+from+"/")
	if err != nil {
		m.fail(fmt.Sprintf("fetch the page of %s within %v", address, limit), err)
	}
	return page
}

// fetch tries until there is a page or ctx ends: QEMU accepts connections before the guest does.
func fetch(ctx context.Context, url string) (string, error) {
	for {
		page, err := fetchOnce(ctx, url)
		if err == nil {
			return page, nil
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(time.Second):
		}
	}
}

func fetchOnce(ctx context.Context, url string) (string, error) {
	try, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(try, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	return string(page), err
}
