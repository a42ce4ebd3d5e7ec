package stateadm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/diskfs/go-diskfs/partition/gpt"
	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/oom"
	"github.com/zerodisc/zerodisc/internal/printable"
)

// Partitions begin and end at multiples of alignment. Where signatures of what was there before may be, that much is
// overwritten: at the beginning, that of the partition to be made included, and at the end, where arrays and partition
// tables have theirs.
const (
	alignment  = 1 << 20
	wipedStart = 4 << 20
	wipedEnd   = 1 << 20
)

// format makes the file system, on a whole disk in a partition of its own, and returns the device it is on.
//
// A disk without a partition table is taken for an empty one by other systems, which offer to format it; with one it is
// seen that it belongs to Linux.
func (t *tool) format(d device) (string, error) {
	shared := t.shared(d)
	if err := t.wipe(d, shared); err != nil {
		return "", err
	}
	device := filepath.Join(t.dev, d.name)
	if d.isDisk() {
		name, err := t.awaitPartition(d.name)
		if err != nil {
			return "", err
		}
		device = filepath.Join(t.dev, name)
	}
	if shared {
		return device, t.mke2fs(device, "-F") // twice: also if it is said to be in use
	}
	return device, t.mke2fs(device)
}

// shared says whether the device is a partition of a disk that is mounted as a whole, as the boot medium is. The kernel
// then lets nobody have it for himself.
func (t *tool) shared(d device) bool {
	if d.disk == "" {
		return false
	}
	mounts, err := t.mounts()
	number, _ := os.ReadFile(filepath.Join(t.sys, "class/block", d.disk, "dev"))
	for _, m := range mounts {
		if err == nil && m.number == strings.TrimSpace(string(number)) {
			return true
		}
	}
	return false
}

// wipe overwrites what was there before, and makes the partition of a whole disk.
func (t *tool) wipe(d device, shared bool) error {
	flags := os.O_RDWR
	if !shared {
		flags |= unix.O_EXCL
	}
	file, err := openPatiently(filepath.Join(t.dev, d.name), flags)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := overwrite(file, d.bytes); err != nil {
		return fmt.Errorf("overwrite %s: %w", d.path(), err)
	}
	if !d.isDisk() {
		return file.Close()
	}
	sector, err := unix.IoctlGetInt(int(file.Fd()), unix.BLKSSZGET)
	if err != nil {
		return fmt.Errorf("sector size of %s: %w", d.path(), err)
	}
	if err := partition(file, d.bytes, sector); err != nil {
		return fmt.Errorf("partition %s: %w", d.path(), err)
	}
	if err := patiently(func() error { return unix.IoctlSetInt(int(file.Fd()), unix.BLKRRPART, 0) }); err != nil {
		return fmt.Errorf("the kernel does not take the new partition of %s: %w; plug it in again", d.path(), err)
	}
	return file.Close()
}

// partition writes a partition table with one partition to a disk.
func partition(disk *os.File, bytes int64, sector int) error {
	end := (bytes - alignment) / alignment * alignment
	table := &gpt.Table{
		LogicalSectorSize: sector, PhysicalSectorSize: sector, ProtectiveMBR: true,
		Partitions: []*gpt.Partition{{
			Index: 1, Start: alignment / uint64(sector), End: uint64(end)/uint64(sector) - 1,
			Type: gpt.LinuxFilesystem, Name: boot.StateLabel,
		}},
	}
	return table.Write(disk, bytes)
}

// overwrite overwrites the places of signatures.
func overwrite(file *os.File, bytes int64) error {
	zeros := make([]byte, 1<<20)
	for _, area := range []struct{ from, to int64 }{
		{0, min(wipedStart, bytes)}, {max(0, bytes-wipedEnd), bytes},
	} {
		for at := area.from; at < area.to; at += int64(len(zeros)) {
			if _, err := file.WriteAt(zeros[:min(int64(len(zeros)), area.to-at)], at); err != nil {
				return err
			}
		}
	}
	return file.Sync()
}

// Somebody may look at a device for a moment: udev, say, or a loop device that is just being taken down.
const (
	patience = 5 * time.Second
	retry    = 100 * time.Millisecond
)

// patiently tries until the device is free.
func patiently(try func() error) error {
	for end := time.Now().Add(patience); ; time.Sleep(retry) {
		err := try()
		if !errors.Is(err, unix.EBUSY) || time.Now().After(end) {
			return err
		}
	}
}

func openPatiently(name string, flags int) (file *os.File, err error) {
	err = patiently(func() error {
		file, err = os.OpenFile(name, flags, 0)
		return err
	})
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("the kernel has %s in use (a file system, swap, RAID, LVM or a guest)", name)
	}
	return file, err
}

// awaitPartition waits for the first partition of a disk and returns its name.
func (t *tool) awaitPartition(disk string) (string, error) {
	for end := time.Now().Add(2 * patience); time.Now().Before(end); time.Sleep(retry) {
		files, _ := filepath.Glob(filepath.Join(t.sys, "class/block", disk, "*/partition"))
		if len(files) != 1 {
			continue
		}
		name := filepath.Base(filepath.Dir(files[0]))
		if _, err := os.Stat(filepath.Join(t.dev, name)); err == nil {
			return name, nil
		}
	}
	return "", fmt.Errorf("the new partition of /dev/%s does not appear; see dmesg", disk)
}

// options of mke2fs. The volume holds few files, most of them large: fewer inodes, and less kept for root, who is the
// only one here. The last two features are defaults today; they are what makes damage show.
var options = []string{
	"-F", "-t", "ext4", "-L", boot.StateLabel, "-b", "4096", "-i", strconv.Itoa(64 << 10), "-m", "1",
	"-O", "64bit,metadata_csum",
}

// mke2fs makes the file system, with more options than the usual ones. Its own words show how far it is.
func (t *tool) mke2fs(device string, more ...string) error {
	args := append(append(more, options...), device)
	cmd := exec.Command(t.Mke2fs, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, t.Out, t.Err
	if err := oom.Run(cmd); err != nil {
		return fmt.Errorf("mke2fs: %w", err)
	}
	return nil
}

// mountLimit is how long init has to mount the new volume. Its driver may have to be loaded, on a machine that starts
// guests meanwhile.
const mountLimit = time.Minute

// announce waits until the new volume is mounted, and says so.
func (t *tool) announce(device string) error {
	if which := t.parameter(); which != "" && which != "auto" {
		fmt.Fprintf(t.Out, "%s is a state volume, and not mounted because of %s: %s in the configuration.\n",
			device, stateKey, printable.Line(which))
		return nil
	}
	return t.await(device, "")
}

// stateKey is the key of the configuration that says which state volume is used.
const stateKey = "stores.state"

// parameter is what the configuration says of the state volume, "" where it says nothing.
func (t *tool) parameter() string {
	now, err := t.State()
	if err != nil {
		return ""
	}
	for _, setting := range now.Host.Settings {
		if setting.Key == stateKey {
			return setting.Value
		}
	}
	return ""
}

// await waits until a new volume is mounted, and says so. file is empty, or what is the volume on the device.
func (t *tool) await(device, file string) error {
	name := strings.TrimSpace(device + " " + file)
	for end := time.Now().Add(mountLimit); time.Now().Before(end); time.Sleep(retry) {
		now, err := t.State()
		v := host.StateVolume{}
		if err == nil {
			v = now.Host.State
		}
		if v.Device == device && v.File == file && v.Mount != "" {
			fmt.Fprintf(t.Out, "%s is the state volume, at %s. guest disk save GUEST keeps a guest there.\n",
				name, v.Mount)
			return nil
		}
	}
	return fmt.Errorf("%s is a state volume, but it was not mounted within %v; see status and dmesg", name, mountLimit)
}
