//go:build vm

package vm

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/zerodisc/zerodisc/internal/testns"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// TestServe boots a machine with mkiso serve on the other end of the cable, which is all that it needs: it
// gives the addresses away, and UEFI, then GRUB, load everything by HTTP. The cable and both ends are in
// a network of their own.
func TestServe(t *testing.T) { testns.Run(t, syscall.CLONE_NEWNET, bootServed) }

func bootServed(t *testing.T) {
	program := filepath.Join(t.TempDir(), "mkiso")
	tool(t, "go", "build", "-o", program, "../../cmd/mkiso")
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
