//go:build vm

package vm

import (
	"encoding/binary"
	"path/filepath"
	"strings"
)

// checkDevices looks at what the device manager has made of the machine, and follows a USB stick.
func (m *VM) checkDevices() {
	m.Shell("udevadm settle")
	for query, want := range map[string]string{
		"-q property -n /dev/disk/by-label/ZERODISC": "ID_FS_TYPE=iso9660",
		"-q symlink -n /dev/cdrom":                   "disk/by-path/pci-0000:00:03.0-ata-1.0",
		"-q property -p /class/net/eth0":             "ID_NET_NAME_PATH=enp0s",
	} {
		if said := m.Shell("udevadm info " + query); !strings.Contains(said, want) {
			m.Errorf("udevadm info %s does not say %s:\n%s", query, want, said)
		}
	}
	const link = "/dev/disk/by-label/stick"
	m.plugStick("stick")
	m.Until("the stick has its link", soon, func() bool {
		return strings.HasSuffix(m.Shell("readlink "+link), "../../sda")
	})
	if err := m.Unplug("stick0"); err != nil {
		m.Fatalf("unplug the stick: %v", err)
	}
	m.Until("the stick's link is gone", soon, func() bool {
		return !strings.Contains(m.Shell("ls /dev/disk/by-label"), "stick")
	})
}

// plugStick plugs in a USB stick that holds swap space with a label, at a controller that comes with it.
func (m *VM) plugStick(label string) {
	image := make([]byte, 1<<20)
	binary.LittleEndian.PutUint32(image[1024:], 1)   // version
	binary.LittleEndian.PutUint32(image[1028:], 254) // last page
	copy(image[1024+28:], label)
	copy(image[4086:], "SWAPSPACE2")
	name := filepath.Join(m.t.TempDir(), "stick.img")
	write(m.t, name, string(image))
	_, err := m.QMP("blockdev-add", map[string]any{
		"driver": "raw", "node-name": "stickfile", "read-only": true,
		"file": map[string]any{"driver": "file", "filename": name, "read-only": true},
	})
	if err == nil {
		err = m.Plug("qemu-xhci", "xhci0", nil)
	}
	if err == nil {
		err = m.Plug("usb-storage", "stick0", map[string]any{"drive": "stickfile", "bus": "xhci0.0"})
	}
	if err != nil {
		m.Fatalf("plug in a stick: %v", err)
	}
}
