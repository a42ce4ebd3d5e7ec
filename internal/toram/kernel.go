package toram

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/loopdev"
	"github.com/zerodisc/zerodisc/internal/namespace"
)

// Linux is the Kernel of this machine.
type Linux struct {
	// Reopen has programs that serve files below a directory open them anew.
	Reopen func(dir string)
	Log    *slog.Logger
}

func (Linux) MountMemory(dir string, bytes int64) error {
	return namespace.MountMemory(dir, bytes, 0o755)
}

func (Linux) Protect(dir string) error {
	const flags = unix.MS_REMOUNT | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("", dir, "", flags, ""); err != nil {
		return fmt.Errorf("make %s read-only: %w", dir, err)
	}
	return nil
}

func (Linux) Unmount(dir string) error { return unix.Unmount(dir, unix.MNT_DETACH) }

// Replace mounts beneath what is there (MOVE_MOUNT_BENEATH of move_mount(2), Linux 6.5): nobody finds the directory
// empty. What target lies in must not be the root file system. Loop devices are switched before, and once more for
// those that were made meanwhile.
func (l Linux) Replace(dir, target string) error {
	var old, next unix.Stat_t
	if err := errors.Join(unix.Stat(target, &old), unix.Stat(dir, &next)); err != nil {
		return fmt.Errorf("%s in place of %s: %w", dir, target, err)
	}
	if err := loopdev.Switch(uint64(old.Dev), target, dir); err != nil {
		return err
	}
	const beneath = 0x200 // MOVE_MOUNT_BENEATH of linux/mount.h
	if err := unix.MoveMount(unix.AT_FDCWD, dir, unix.AT_FDCWD, target, beneath); err != nil {
		err = fmt.Errorf("mount %s on %s: %w", dir, target, err)
		return errors.Join(err, loopdev.Switch(uint64(next.Dev), dir, target))
	}
	if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the medium at %s: %w", target, err)
	}
	if err := loopdev.Switch(uint64(old.Dev), target, target); err != nil { // it is too late to undo it
		l.Log.Error(boot.MsgMedium, "err", err, "remedy", "end the guests that have these disks, and start them again")
	}
	l.Reopen(target)
	return nil
}

// releasePoll is the time between two looks whether a device is free.
const releasePoll = 100 * time.Millisecond

// Release tries to have the device for itself (O_EXCL of a block device, open(2)).
func (Linux) Release(ctx context.Context, device string) error {
	for {
		fd, err := unix.Open(device, unix.O_RDONLY|unix.O_EXCL|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err == nil {
			return unix.Close(fd)
		}
		if !errors.Is(err, unix.EBUSY) {
			return nil // it has gone already
		}
		select {
		case <-time.After(releasePoll):
		case <-ctx.Done():
			return fmt.Errorf("%s is still in use%s", device, users(device))
		}
	}
}

// users names what the kernel has made of a device.
func users(device string) string {
	holders, _ := os.ReadDir(filepath.Join("/sys/class/block", filepath.Base(device), "holders"))
	var names []string
	for _, h := range holders {
		names = append(names, h.Name())
	}
	if len(names) == 0 {
		return ""
	}
	return " by " + strings.Join(names, ", ")
}
