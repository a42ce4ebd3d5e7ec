package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/blkid"
	"github.com/zerodisc/zerodisc/internal/disks"
	"github.com/zerodisc/zerodisc/internal/loopdev"
	"github.com/zerodisc/zerodisc/internal/readonly"
)

// Linux is the Kernel of this machine.
type Linux struct{}

// Identify reads a device. Without O_NONBLOCK the kernel would pull in an open tray.
func (Linux) Identify(device string) (blkid.Content, error) {
	f, err := os.OpenFile(device, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENOMEDIUM) || errors.Is(err, unix.ENXIO) {
		return blkid.Content{}, nil // a drive or a card reader without anything in it
	}
	if err != nil {
		return blkid.Content{}, err
	}
	defer f.Close()
	optical := disks.KindOf(filepath.Base(device)) == disks.Optical
	if optical && disks.DiscIn(f.Fd()) == disks.NoDisc {
		return blkid.Content{}, nil
	}
	size, err := f.Seek(0, 2)
	if err != nil || size == 0 {
		return blkid.Content{}, err
	}
	content, err := blkid.Identify(blkid.Device{ReaderAt: f, Size: size, Optical: optical})
	if isPartition(device) { // what looks like a table there is a boot loader's, or a guest's
		content.Table = blkid.Table{}
	}
	if errors.Is(err, unix.ENOMEDIUM) {
		return blkid.Content{}, nil
	}
	return content, err
}

// Card is the disk's diskseq, which counts up whenever its medium has changed
// (Documentation/ABI/stable/sysfs-block).
func (Linux) Card(partition string) string {
	if !isPartition(partition) {
		return ""
	}
	text, _ := os.ReadFile(filepath.Join("/sys/class/block", diskName(partition), "diskseq"))
	return strings.TrimSpace(string(text))
}

// The kernel forgets no partition that is in use, and what was unmounted is so for a moment still.
const (
	rescanTries = 25
	rescanPause = 200 * time.Millisecond
)

// Rescan asks for the partitions anew (BLKRRPART). Without a medium that is an error, and they are gone all the same.
func (Linux) Rescan(partition string) {
	disk := "/dev/" + diskName(partition)
	for range rescanTries {
		f, err := os.OpenFile(disk, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			return
		}
		err = unix.IoctlSetInt(int(f.Fd()), unix.BLKRRPART, 0)
		f.Close()
		if !errors.Is(err, unix.EBUSY) {
			return
		}
		time.Sleep(rescanPause)
	}
}

func isPartition(device string) bool {
	_, err := os.Stat(filepath.Join("/sys/class/block", filepath.Base(device), "partition"))
	return err == nil
}

func (Linux) Mount(device, dir string, how readonly.Mount) error {
	file, err := os.Open(device)
	if err != nil {
		return err
	}
	defer file.Close()
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	err = loopdev.Mount(file, dir, how.Driver, flags, how.Options)
	if errors.Is(err, unix.ENODEV) {
		return errNoDriver
	}
	return err
}

// Mounted compares the directory with the one that it is in: that of a file system is another device.
func (Linux) Mounted(dir string) bool {
	var inside, outside unix.Stat_t
	return unix.Lstat(dir, &inside) == nil && unix.Lstat(filepath.Dir(dir), &outside) == nil &&
		inside.Dev != outside.Dev
}

func (Linux) Unmount(dir string) error {
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	return os.Remove(dir)
}
