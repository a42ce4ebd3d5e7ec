package statevolume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/loopdev"
	"github.com/zerodisc/zerodisc/internal/statefile"
)

// Linux is the Kernel of this machine.
type Linux struct{ asked atomic.Int64 }

// Inside mounts the file system for a moment, for reading.
func (*Linux) Inside(device, kind string) (string, error) { return statefile.Find(device, kind) }

// Mount mounts ext4. After an error in the file system the kernel stops to write to it, whatever is recorded in it.
func (l *Linux) Mount(device string, v Volume, dir string, readOnly bool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	flags, options := uintptr(unix.MS_NOATIME|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC), "errors=remount-ro"
	if readOnly {
		flags, options = flags|unix.MS_RDONLY, options+",noload"
	} else {
		options += ",data=ordered"
	}
	if v.File == "" {
		return loopdev.MountDevice(device, dir, fileSystem, flags, options)
	}
	mapped, name, err := statefile.Open(device, v.Type, readOnly, func() { l.asked.Add(1) })
	if err != nil {
		return err
	}
	err = unix.Mount(mapped, dir, fileSystem, flags, options)
	if closed := statefile.Close(name); err == nil { // it stays until it is unmounted, whoever does that
		return closed
	}
	return fmt.Errorf("mount %s: %w", v.File, err)
}

// Unmount unmounts now if it can: then all is written when it returns.
func (*Linux) Unmount(dir string) error {
	err := unix.Unmount(dir, 0)
	if errors.Is(err, unix.EBUSY) {
		err = unix.Unmount(dir, unix.MNT_DETACH)
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	return nil
}

func (*Linux) Look(dir string) (Condition, error) {
	var stat unix.Statfs_t
	var inside, outside unix.Stat_t
	err := errors.Join(unix.Statfs(dir, &stat), unix.Stat(dir, &inside), unix.Stat(filepath.Dir(dir), &outside))
	if err != nil {
		return Condition{}, fmt.Errorf("look at %s: %w", dir, err)
	}
	if inside.Dev == outside.Dev {
		return Condition{}, ErrNotMounted
	}
	return Condition{
		Bytes: int64(stat.Blocks) * stat.Bsize, Free: int64(stat.Bavail) * stat.Bsize,
		ReadOnly: stat.Flags&unix.ST_RDONLY != 0, Errors: recordedErrors(dir),
	}, nil
}

// recordedErrors is how many errors ext4 has recorded in the file system at dir (Linux,
// Documentation/ABI/testing/sysfs-fs-ext4).
func recordedErrors(dir string) int {
	var stat unix.Stat_t
	if err := unix.Stat(dir, &stat); err != nil {
		return 0
	}
	number := fmt.Sprintf("%d:%d", unix.Major(uint64(stat.Dev)), unix.Minor(uint64(stat.Dev)))
	device, err := filepath.EvalSymlinks(filepath.Join("/sys/dev/block", number))
	if err != nil {
		return 0
	}
	text, err := os.ReadFile(filepath.Join("/sys/fs/ext4", filepath.Base(device), "errors_count"))
	if err != nil {
		return 0
	}
	count, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return count
}

// Progress adds up what the device has read and written (Linux, Documentation/block/stat.rst), and what a file system
// was asked about the file.
func (l *Linux) Progress(device string) int64 {
	text, err := os.ReadFile(filepath.Join("/sys/class/block", filepath.Base(device), "stat"))
	if err != nil {
		return 0
	}
	sum := l.asked.Load()
	for i, field := range strings.Fields(string(text)) {
		if i == 0 || i == 4 { // requests to read and to write that are through
			n, _ := strconv.ParseInt(field, 10, 64)
			sum += n
		}
	}
	return sum
}
