//go:build vm

package vm

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// stickConfig is a guest on a stick with disks of all kinds that it may write to, none of which may change: an image,
// an image in another format, the whole of another disk, and a logical volume. An array it may only read.
const stickConfig = `kernel = "dom0"
ramdisk = "initrd.img"
extra = "console=hvc0 zerodisc.guest quiet cryptomgr.notests"
memory = 160
vif = [ '' ]
disk = [
  'disk.img,raw,xvda,rw', 'disk.qcow2,qcow2,xvdb,rw', 'phy:/dev/disk/by-label/target,xvdc,rw',
  'phy:/dev/zd/target,xvdd,rw', 'phy:/dev/md/mirror,xvde,r',
]
`

// fileSystemMakers make a file system in a file that is there, with a guest where they can.
var fileSystemMakers = []struct{ label, kind, command string }{
	{"target", "ext4", `mkfs.ext4 -q -L target -d $DIR $FILE`},
	{"xfs-disk", "xfs", `mkfs.xfs -q -L xfs-disk $FILE`},
	{"btrfs-disk", "btrfs", `mkfs.btrfs -q -L btrfs-disk --rootdir $DIR $FILE`},
	{"exfat-disk", "exfat", `mkfs.exfat -L exfat-disk $FILE`},
	{"ntfs-disk", "ntfs", `mkfs.ntfs -q -F -f -L ntfs-disk $FILE`},
	{"", "erofs", `mkfs.erofs --quiet $FILE $DIR`},
	{"", "squashfs", `mksquashfs $DIR $FILE -quiet -no-progress -noappend`},
}

// makeFileSystem makes a disk.
func makeFileSystem(t *testing.T, dir, command string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk.img")
	write(t, file, "")
	if err := os.Truncate(file, 320<<20); err != nil {
		t.Fatal(err)
	}
	tool(t, "sh", "-c", strings.NewReplacer("$DIR", dir, "$FILE", file).Replace(command))
	return file
}

// soil leaves a journal in an ext4 file system that was not written back: whoever replays it writes.
func soil(t *testing.T, file string) {
	t.Helper()
	write(t, file+".block", strings.Repeat("not to be replayed", 1000)[:4096])
	tool(t, "debugfs", "-w", "-R", "journal_open", file)
	commands := filepath.Join(t.TempDir(), "commands")
	write(t, commands, "jo\njw -b 2000 "+file+".block\njc\n")
	tool(t, "debugfs", "-w", "-f", commands, file)
	if out := tool(t, "dumpe2fs", "-h", file); !strings.Contains(out, "needs_recovery") {
		t.Fatalf("the journal is clean:\n%s", out)
	}
}

// makeStick makes a labelled volume with a guest that writes to its disks.
func makeStick(t *testing.T, label, guest string) string {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "guests"), 0o755); err != nil {
		t.Fatal(err)
	}
	dir := guestDir(t, filepath.Join(root, "guests"), guest)
	write(t, filepath.Join(dir, guest+".cfg"), stickConfig)
	raw := filepath.Join(dir, "disk.img")
	write(t, raw, packed)
	tool(t, "qemu-img", "convert", "-c", "-O", "qcow2", raw, filepath.Join(dir, "disk.qcow2"))
	return makeFileSystem(t, root, `mkfs.vfat -F 32 -n `+label+` $FILE >/dev/null && mcopy -s -i $FILE $DIR/* ::`)
}

// checksum is the SHA-256 of a file.
func checksum(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(data))
}

// TestAmnesia boots from a stick with disks of every file system, one of them unclean, with logical volumes and an
// array, and lets a guest write to all that it has. Not one write reaches a disk.
func TestAmnesia(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "guests"), 0o755); err != nil {
		t.Fatal(err)
	}
	guestDir(t, filepath.Join(root, "guests"), "stranger")
	iso := remaster(t, "cmdline = zerodisc.budget=24M,later:32M\ntimeout = 1\n")
	machine := qemu.Machine{ISO: withLaterPartition(t, iso), Medium: qemu.USB, MemoryMiB: 2048}
	files := []string{makeStick(t, "ZERODISC-A", "stick")}
	for _, maker := range fileSystemMakers {
		file := makeFileSystem(t, root, maker.command)
		if maker.kind == "ext4" {
			soil(t, file)
		}
		files = append(files, file)
	}
	sums := map[string]string{}
	volumes := makeVolumeDisks(t)
	for _, name := range []string{"lvm.0", "lvm.1", "raid.0", "raid.1"} {
		files = append(files, volumes[name])
	}
	for _, file := range files {
		machine.Disks = append(machine.Disks, qemu.Disk{File: file})
		sums[file] = checksum(t, file)
	}
	later := makeStick(t, "ZERODISC-B", "later")
	sums[later], sums[volumes["usb.0"]] = checksum(t, later), checksum(t, volumes["usb.0"])
	Story(t, machine, func(m *VM) {
		m.Wait(`msg=ready guests=2`, bootLimit)
		for _, maker := range fileSystemMakers {
			query := `msg="` + boot.MsgStorage + `" type=` + maker.kind
			if maker.label != "" {
				query += " label=" + maker.label
			}
			if line := m.Wait(query, addressLimit); line.Get("mount") == "" {
				m.Errorf("%s: %v", maker.kind, line)
			}
		}
		m.Run("volumes", (*VM).checkVolumes)
		m.Wait(`msg="`+boot.MsgGuestDisk+`" guest=stick disk=xvdc`, bootLimit)
		m.Wait(`msg="guest address" guest=stick`, addressLimit)
		m.Run("servers of images are sealed", (*VM).checkSealed)
		m.Run("a server of an image is killed", func(m *VM) { m.checkImageServer("stick", "xvdb") })
		m.Run("a guest writes", (*VM).checkWriter)
		m.Run("a stick comes and goes", func(m *VM) { m.checkHotplug(later, volumes["usb.0"]) })
		server := m.imageServers()["image-stick-xvdb"]
		m.Run("init crashes", func(m *VM) { m.checkVolumesAfterCrash(volumes["usb.0"]) })
		m.Run("its server goes on", func(m *VM) { m.checkImageServerAfterCrash("image-stick-xvdb", server) })
		m.checkNoWrites()
		m.checkPowerOff(typePowerOff)
		for file, sum := range sums {
			if checksum(t, file) != sum {
				m.Errorf("%s has changed", file)
			}
		}
	})
}

// checkWriter has the guest write to all of its disks and read back what it wrote.
func (m *VM) checkWriter() {
	m.Enter("xl console stick")
	m.Enter("")
	for _, disk := range []string{"xvda", "xvdb", "xvdc", "xvdd"} {
		m.Enter("echo changed-" + disk + " | dd of=/dev/" + disk + " bs=512; sync; head -c 12 /dev/" + disk)
		m.WaitText("^changed-"+disk, soon)
	}
	m.Enter("dd if=/dev/zero of=/dev/xvdc bs=65536 count=400; echo all that fits")
	m.WaitText("^all that fits", soon)
	m.leaveConsole() // dom0's lines wait while it is open
	m.Wait(`msg="`+boot.MsgGuestDiskFull+`" guest=stick`, soon)
	m.Enter("xl console stick")
	m.Enter("")
	m.Enter("dd if=/dev/xvdc of=/dev/null bs=65536 count=100 && echo still readable")
	m.WaitText("^still readable", soon)
	m.Enter("dd if=/dev/xvde bs=1 skip=1144 count=9") // where ext4 has its label
	m.WaitText("^md-mirror", soon)
	m.leaveConsole()
}

// do has the emulator carry out a command.
func (m *VM) do(command string, arguments map[string]any) {
	if _, err := m.QMP(command, arguments); err != nil {
		m.Fatalf("%v", err)
	}
}

// plugIn plugs a stick in, and pull takes it away.
func (m *VM) plugIn(file, id string) {
	m.do("blockdev-add", map[string]any{
		"driver": "raw", "node-name": "on-" + id, "file": map[string]any{"driver": "file", "filename": file},
	})
	m.do("device_add", map[string]any{"driver": "usb-storage", "drive": "on-" + id, "id": id})
}

func (m *VM) pull(id string) { m.do("device_del", map[string]any{"id": id}) }

// checkHotplug plugs a stick in and pulls it while its guest runs, and does the same with one that has a volume group.
func (m *VM) checkHotplug(stick, group string) {
	now := m.FromNow()
	m.plugIn(stick, "later")
	m.plugIn(group, "group")
	line := now.Wait(`msg="`+boot.MsgStorage+`" label=ZERODISC-B`, soon)
	if line.Get("guests") != "later" {
		m.Errorf("%v", line)
	}
	plugged := now.Wait(`msg="`+boot.MsgStorage+`" label=lv-plugged`, soon)
	m.pull("group")
	now.Wait(`msg="`+boot.MsgStorageGone+`" device=`+plugged.Get("device"), soon)
	m.Until("the volume has gone", soon, func() bool { return !strings.Contains(m.Shell("ls /dev/mapper"), "plugged") })
	now.Wait(`msg="guest running" guest=later`, bootLimit)
	m.pull("later")
	gone := now.Wait(`msg="`+boot.MsgStorageGone+`" device=`+line.Get("device"), soon)
	if gone.Get("guests") != "later" {
		m.Errorf("%v", gone)
	}
	if m.Said(`guest=stick .*err=`) {
		m.Errorf("the other stick's guest was hit")
	}
}

// checkVolumesAfterCrash kills stage2. The one that follows leaves volumes and arrays as they are, and makes those of a
// stick that is plugged in then.
func (m *VM) checkVolumesAfterCrash(group string) {
	const there = "ls /dev/mapper; cat /proc/mdstat; cat /proc/mounts | grep -c /media/"
	before := m.Shell(there)
	now := m.FromNow()
	m.Enter("kill -9 " + m.Stage2())
	now.Wait(`msg="`+boot.MsgResumed+`"`, bootLimit)
	m.ForgetShell()
	m.plugIn(group, "again")
	plugged := now.Wait(`msg="`+boot.MsgStorage+`" label=lv-plugged`, soon)
	m.pull("again")
	now.Wait(`msg="`+boot.MsgStorageGone+`" device=`+plugged.Get("device"), soon)
	if now.Said(`msg=` + boot.MsgVolumes) {
		m.Errorf("something is wrong with the volumes")
	}
	m.Until("all is as before", soon, func() bool { return m.Shell(there) == before })
}

// checkNoWrites asks the emulator how many writes each drive has had.
func (m *VM) checkNoWrites() {
	answer, err := m.QMP("query-blockstats", nil)
	if err != nil {
		m.Fatalf("%v", err)
	}
	var drives []struct {
		Device string `json:"device"`
		Stats  struct {
			Writes int64 `json:"wr_operations"`
			Bytes  int64 `json:"wr_bytes"`
			Reads  int64 `json:"rd_operations"`
		} `json:"stats"`
	}
	if err := json.Unmarshal(answer, &drives); err != nil {
		m.Fatalf("%v", err)
	}
	read := 0
	for _, d := range drives {
		if d.Stats.Writes > 0 || d.Stats.Bytes > 0 {
			m.Errorf("drive %s has had %d writes", d.Device, d.Stats.Writes)
		}
		if d.Stats.Reads > 0 {
			read++
		}
	}
	if read < len(fileSystemMakers)+6 {
		m.Errorf("only %d drives were read: %s", read, answer)
	}
}
