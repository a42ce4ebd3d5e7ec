//go:build vm

package vm

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// serverProgram is where the test in the network of its own finds mkiso.
const serverProgram = "ZERODISC_TEST_MKISO"

// TestServe boots a machine with mkiso serve on the other end of the cable, which is all that it needs: it
// gives the addresses away, and UEFI, then GRUB, load everything by HTTP. The cable and both ends are in
// a network of their own.
func TestServe(t *testing.T) {
	if program := os.Getenv(serverProgram); program != "" {
		bootServed(t, program)
		return
	}
	program := filepath.Join(t.TempDir(), "mkiso")
	tool(t, "go", "build", "-o", program, "../../cmd/mkiso")
	again := exec.Command(os.Args[0], "-test.run=^TestServe$", "-test.v", "-test.timeout=10m")
	again.Env = append(os.Environ(), serverProgram+"="+program)
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := again.CombinedOutput()
	switch {
	case err != nil && !errors.As(err, new(*exec.ExitError)):
		t.Skipf("needs root: %v", err)
	case err != nil:
		t.Fatalf("in its own network: %v\n%s", err, out)
	case bytes.Contains(out, []byte("--- SKIP")):
		t.Skipf("%s", out)
	}
}

// bootServed does it, in a network that has nothing else.
func bootServed(t *testing.T, program string) {
	tap := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "tap0"}, Mode: netlink.TUNTAP_MODE_TAP}
	if err := netlink.LinkAdd(tap); err != nil {
		t.Skipf("no tap interface: %v", err)
	}
	address, err := netlink.ParseAddr("192.168.77.1/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(tap, address); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(tap); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	server := exec.Command(program, "serve", "-dir", Netboot(), "-interface", "tap0", "-range", "192.168.77.100-192.168.77.120")
	server.Stdout, server.Stderr = &said, &said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	stop := func() {
		_ = server.Process.Signal(os.Interrupt)
		_ = server.Wait()
	}
	t.Cleanup(func() {
		if t.Failed() {
			stop()
			t.Logf("mkiso serve:\n%s", said.String())
		}
	})

	m := Boot(t, qemu.Machine{
		Medium: qemu.HTTP, Firmware: qemu.UEFI, NICs: []qemu.NIC{{Model: "virtio-net-pci", Net: qemu.Tap("tap0")}},
	})
	for i, address := range m.waitGuests(t) {
		ctx, cancel := context.WithTimeout(t.Context(), soon)
		page, err := fetch(ctx, "http://"+address+"/")
		cancel()
		if err != nil || !strings.Contains(page, guests[i]) {
			t.Errorf("the page of %s: %v\n%s", guests[i], err, page)
		}
	}
	stop()
	for _, want := range []string{"UEFI HTTP Boot asks", "/pxe-uefi.efi", "/boot/initrd.img"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("mkiso serve does not mention %s:\n%s", want, said.String())
		}
	}
	if strings.Contains(said.String(), "not sent") {
		t.Errorf("mkiso serve was asked for what it does not have:\n%s", said.String())
	}
}
