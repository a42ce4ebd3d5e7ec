//go:build vm

package vm

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// TestLoopback boots the image as a file on a disk: another GRUB mounts it and goes on with its
// loopback.cfg, and dom0 finds the file. Once that is in memory the disk may go.
func TestLoopback(t *testing.T) {
	t.Parallel()
	Story(t, qemu.Machine{ISO: loopbackDisk(t), Medium: qemu.SATA, Firmware: qemu.UEFI}, func(m *VM) {
		medium := m.Wait(`msg="`+boot.MsgMedium+`"`, bootLimit)
		if got := medium.Get("file"); got != "/isos/my zerodisc.iso" {
			m.Errorf("the boot medium is the file %q on %s", got, medium.Get("device"))
		}
		m.checkPages(m.waitGuests())
		m.Wait(`msg="`+boot.MsgMedium+`" state=removable`, bootLimit)
		if mounts := m.Shell("cat /proc/mounts"); strings.Contains(mounts, "/dev/sd") {
			m.Errorf("the disk is in use:\n%s", mounts)
		}
		m.Shell("echo 1 > /sys/block/sda/device/delete")
		m.checkReboot()
	})
}

// loopbackMenu is what users of such disks write.
const loopbackMenu = `loopback loop '/isos/my zerodisc.iso'
set iso_path='/isos/my zerodisc.iso'
export iso_path
set root=(loop)
configfile /boot/grub/loopback.cfg
`

// loopbackDisk makes a disk with one FAT partition: GRUB, its menu, and the image under test.
func loopbackDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	disk, config := filepath.Join(dir, "disk.img"), filepath.Join(dir, "grub.cfg")
	image, err := filepath.Abs(Image())
	if err != nil {
		t.Fatal(err)
	}
	// The GRUB is the disc's own, which takes this disk for its medium by the name of a file.
	id := strings.Fields(tool(t, "isoinfo", "-i", image, "-R", "-f"))
	program, mark := filepath.Join(dir, "grub.efi"), ""
	for _, name := range id {
		if strings.HasPrefix(name, "/"+boot.MediumIDDir+"/") {
			mark = name
		}
	}
	write(t, program, tool(t, "isoinfo", "-i", image, "-R", "-x", "/EFI/BOOT/BOOTX64.EFI"))
	write(t, config, loopbackMenu)
	write(t, filepath.Join(dir, "mark"), "")
	write(t, disk, "")
	if err := os.Truncate(disk, 128<<20); err != nil {
		t.Fatal(err)
	}
	tool(t, "sgdisk", "-n", "1:2048:0", "-t", "1:ef00", disk)
	partition := disk + "@@1M"
	tool(t, "mformat", "-i", partition, "-F", "::")
	for _, name := range []string{"EFI", "EFI/BOOT", "isos", "boot", "boot/grub", boot.MediumIDDir} {
		tool(t, "mmd", "-i", partition, "::"+name)
	}
	for at, from := range map[string]string{
		"EFI/BOOT/BOOTX64.EFI": program, "boot/grub/grub.cfg": config,
		mark: filepath.Join(dir, "mark"), "isos/my zerodisc.iso": image,
	} {
		tool(t, "mcopy", "-i", partition, from, "::"+at)
	}
	return disk
}

// tool runs a program of the host and returns what it prints.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", qemu.Quote(cmd.Args), err, complaint.String())
	}
	return string(out)
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// withLaterPartition is an image on a stick whose remaining space got a partition of its own, with a
// tool that does not know of zerodisc.
func withLaterPartition(t *testing.T, iso string) string {
	t.Helper()
	image, err := os.ReadFile(iso)
	if err != nil {
		t.Fatal(err)
	}
	stick := filepath.Join(t.TempDir(), "stick.img")
	write(t, stick, string(image))
	if err := os.Truncate(stick, qemu.DiskSize); err != nil {
		t.Fatal(err)
	}
	tool(t, "sgdisk", "-e", "-n", "0:0:0", stick)
	return stick
}
