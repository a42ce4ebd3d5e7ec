//go:build vm && full

package vm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// TestTrays changes a disc in a drive and a card in a reader for another one, and opens the tray with the boot medium
// by force while a guest has its disk there.
func TestTrays(t *testing.T) {
	iso := remaster(t, "cmdline = zerodisc.toram=no\ntimeout = 1\n", diskGuest(t, "small", 8<<20))
	one, two := disc(t, "disc-one"), disc(t, "disc-two")
	cards := [2]string{card(t, "CARD-ONE"), card(t, "CARD-TWO")}
	machine := qemu.Machine{ISO: iso, Disks: []qemu.Disk{
		{File: one, Device: "ide-cd,bus=ahci.1"},
		{File: cards[0], Device: "usb-storage,removable=on", On: []string{"qemu-xhci"}},
	}}
	Story(t, machine, func(m *VM) {
		m.Wait(`msg=ready guests=3`, bootLimit)
		m.Wait(`msg="`+boot.MsgStorage+`" label=disc-one`, addressLimit)
		m.Shell("xl destroy tty1; xl destroy tty2") // they would only take the emulator's time
		m.Wait(`msg="guest address" guest=small`, addressLimit)
		m.Run("another disc", func(m *VM) { m.checkOtherDisc(two) })
		m.Run("another card", func(m *VM) { m.checkOtherCard(cards[1]) })
		m.Run("the tray is opened by force", func(m *VM) { m.checkForcedTray(iso) })
		m.checkPowerOff(typePowerOff)
	})
}

// disc makes a disc without a guest.
func disc(t *testing.T, label string) string {
	t.Helper()
	return discWith(t, label, "name", label+"\n")
}

// discWith makes a disc with one file.
func discWith(t *testing.T, label, name, text string) string {
	t.Helper()
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "disc.iso")
	write(t, filepath.Join(dir, name), text)
	tool(t, "genisoimage", "-quiet", "-R", "-V", label, "-o", file, dir)
	return file
}

// card makes a card with one partition, and a file system without a guest.
func card(t *testing.T, label string) string {
	t.Helper()
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "card.img")
	write(t, filepath.Join(dir, "name"), label+"\n")
	write(t, file, "")
	if err := os.Truncate(file, 64<<20); err != nil {
		t.Fatal(err)
	}
	tool(t, "sgdisk", "-n", "1:2048:0", file)
	tool(t, "mformat", "-i", file+"@@1M", "-F", "-v", label, "::")
	tool(t, "mcopy", "-i", file+"@@1M", filepath.Join(dir, "name"), "::name")
	return file
}

// checkOtherDisc changes the disc in the second drive.
func (m *VM) checkOtherDisc(other string) {
	now := m.FromNow()
	m.do("blockdev-change-medium", map[string]any{"device": "disk0", "filename": other, "format": "raw", "force": true})
	now.Wait(`msg="`+boot.MsgStorageGone+`" device=/dev/sr1`, soon)
	found := now.Wait(`msg="`+boot.MsgStorage+`" label=disc-two`, soon)
	if got := m.Shell("cat " + found.Get("mount") + "/name"); strings.TrimSpace(got) != "disc-two" {
		m.Errorf("the disc says %q", got)
	}
}

// checkForcedTray opens the tray with the medium while guests use it, and puts it back.
func (m *VM) checkForcedTray(iso string) {
	now := m.FromNow()
	m.do("eject", map[string]any{"device": "medium", "force": true})
	gone := now.Wait(`msg="`+boot.MsgMedium+`" state=gone`, soon)
	if gone.Get("guests") != "small" {
		m.Errorf("%v", gone)
	}
	m.do("blockdev-change-medium", map[string]any{"device": "medium", "filename": iso, "format": "raw"})
	now.Wait(`msg="`+boot.MsgMedium+`" mount=/media/boot`, soon)
	m.Enter("xl console small")
	m.Enter("")
	m.FromNow().Enter("echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/xvda bs=5 count=1")
	m.WaitText(`^(\$ )?small`, soon)
	m.leaveConsole()
}

// checkOtherCard takes the card out of the reader, and puts another one in.
func (m *VM) checkOtherCard(other string) {
	now := m.FromNow()
	m.do("eject", map[string]any{"device": "disk1", "force": true})
	now.Wait(`msg="`+boot.MsgStorageGone+`" device=/dev/sda1`, soon)
	m.Until("its partition has gone", soon, func() bool {
		return !strings.Contains(m.Shell("cat /proc/partitions"), "sda1")
	})
	m.do("blockdev-change-medium", map[string]any{"device": "disk1", "filename": other, "format": "raw"})
	found := now.Wait(`msg="`+boot.MsgStorage+`" label=CARD-TWO`, soon)
	if got := m.Shell("cat " + found.Get("mount") + "/name"); strings.TrimSpace(got) != "CARD-TWO" {
		m.Errorf("the card says %q", got)
	}
}
