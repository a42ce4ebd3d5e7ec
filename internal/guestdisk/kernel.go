package guestdisk

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/devmapper"
	"github.com/zerodisc/zerodisc/internal/loopdev"
	"github.com/zerodisc/zerodisc/internal/namespace"
)

// Linux is the Kernel of this machine.
type Linux struct{}

func (Linux) Attach(file *os.File, readOnly bool) (*os.File, error) {
	return loopdev.Open(file, readOnly)
}

func (Linux) Bytes(device string) (int64, error) {
	file, err := os.Open(device)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	bytes, err := file.Seek(0, 2)
	if err != nil {
		return 0, fmt.Errorf("size of %s: %w", device, err)
	}
	return bytes, nil
}

func (Linux) IsBlock(path string) (bool, error) {
	info, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	return info.Mode()&os.ModeDevice != 0 && info.Mode()&os.ModeCharDevice == 0, nil
}

func (Linux) ReadOnly(device string) (bool, error) {
	file, err := os.Open(device)
	if err != nil {
		return false, err
	}
	defer file.Close()
	value, err := unix.IoctlGetInt(int(file.Fd()), unix.BLKROGET)
	return value != 0, err
}

func (Linux) InMemory(path string) (bool, error) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false, err
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return false, fmt.Errorf("file system of %s: %w", path, err)
	}
	memory := stat.Type == unix.TMPFS_MAGIC || stat.Type == unix.RAMFS_MAGIC
	return memory && stat.Flags&unix.ST_RDONLY == 0, nil // a copy of the medium is not written to
}

func (Linux) Create(name, uuid string, table []devmapper.Target, readOnly bool) (string, error) {
	return devmapper.Create(name, uuid, table, readOnly)
}

func (Linux) Replace(name string, table []devmapper.Target) error {
	return devmapper.Replace(name, table, false)
}

func (Linux) Remove(name string) error { return devmapper.Remove(name) }

func (Linux) Path(name string) (string, error) { return devmapper.Path(name) }

func (Linux) Names() ([]string, error) { return devmapper.Names() }

func (Linux) IsInvalid(snapshot string) (bool, error) {
	status, err := devmapper.Status(snapshot)
	return len(status) == 1 && status[0].Params == "Invalid", err
}

// Revive takes the device away, says in the header of its changes that they are valid, and makes it anew.
func (Linux) Revive(snapshot, uuid, changes string) (string, error) {
	table, err := devmapper.Table(snapshot)
	if err != nil {
		return "", err
	}
	if len(table) != 1 || table[0].Type != "snapshot" {
		return "", fmt.Errorf("mapped device %s is no snapshot", snapshot)
	}
	for _, number := range strings.Fields(table[0].Params)[:2] { // loop devices would go away with it
		if link, err := os.Readlink("/sys/dev/block/" + number); err == nil {
			if device, err := os.Open("/dev/" + filepath.Base(link)); err == nil {
				defer device.Close()
			}
		}
	}
	if err := devmapper.RemoveIdle(snapshot); err != nil {
		return "", err
	}
	if err := validate(changes); err != nil {
		return "", err
	}
	return devmapper.Create(snapshot, uuid, table, false)
}

// The header of a snapshot's changes (Linux, drivers/md/dm-snap-persistent.c): two numbers of 32 bits, and more.
const (
	storeMagic = 0x70416e53
	storeValid = 1
)

// validate says in a file of changes that they are valid.
func validate(changes string) error {
	file, err := os.OpenFile(changes, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	var header [8]byte
	if _, err := file.ReadAt(header[:], 0); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(header[:]) != storeMagic {
		return fmt.Errorf("%s has no changes of a disk", changes)
	}
	binary.LittleEndian.PutUint32(header[4:], storeValid)
	_, err = file.WriteAt(header[:], 0)
	return err
}

func (Linux) MountMemory(dir string, bytes int64) error {
	return namespace.MountMemory(dir, bytes, 0o700)
}

func (Linux) Unmount(dir string) error {
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	return os.Remove(dir)
}

func (Linux) Used(dir string) (int64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, fmt.Errorf("changes in %s: %w", dir, err)
	}
	return int64(stat.Blocks-stat.Bfree) * stat.Bsize, nil
}
