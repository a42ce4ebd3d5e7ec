// Package loopdev makes block devices of files, loop(4).
package loopdev

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// attempts bounds the race for a free loop device with other programs.
const attempts = 16

// Attach makes the file at path a block device, for reading only if asked, and returns its path.
func Attach(path string, readOnly bool) (string, error) {
	flags := os.O_RDWR
	if readOnly {
		flags = os.O_RDONLY
	}
	file, err := os.OpenFile(path, flags, 0)
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) {
		return "", fmt.Errorf("disk %s cannot be written; give it to the guest read-only (mode r), or a copy of it: %w", path, err)
	}
	if err != nil {
		return "", fmt.Errorf("disk: %w", err)
	}
	defer file.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("loop driver (is the module loop loaded?): %w", err)
	}
	defer control.Close()
	return attachFree(control, file, readOnly)
}

// MountImage mounts the squashfs image at path, for reading only.
func MountImage(path, target string) error {
	device, err := Attach(path, true)
	if err != nil {
		return err
	}
	if err := unix.Mount(device, target, "squashfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
		return fmt.Errorf("mount %s: %w", path, err)
	}
	return nil
}

// attachFree asks the driver for a free device until one is got.
func attachFree(control, file *os.File, readOnly bool) (string, error) {
	for range attempts {
		number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return "", fmt.Errorf("find a free loop device: %w", err)
		}
		device := fmt.Sprintf("/dev/loop%d", number)
		err = configure(device, file, readOnly)
		if err == nil {
			return device, nil
		}
		if !errors.Is(err, unix.EBUSY) {
			return "", err
		}
	}
	return "", fmt.Errorf("find a free loop device: %d were taken by others in between", attempts)
}

// configure backs a loop device with file. Direct I/O saves dom0 a second copy of the data in
// its page cache; the kernel falls back to buffered I/O where the file system cannot do it
// (drivers/block/loop.c: loop_configure).
func configure(device string, file *os.File, readOnly bool) error {
	loop, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("loop device: %w", err)
	}
	defer loop.Close()
	config := unix.LoopConfig{Fd: uint32(file.Fd())}
	config.Info.Flags = unix.LO_FLAGS_DIRECT_IO
	if readOnly {
		config.Info.Flags |= unix.LO_FLAGS_READ_ONLY
	}
	// One byte less than the field keeps it NUL-terminated for losetup.
	copy(config.Info.File_name[:len(config.Info.File_name)-1], file.Name())
	if err := unix.IoctlLoopConfigure(int(loop.Fd()), &config); err != nil {
		return fmt.Errorf("back %s with %s: %w", device, file.Name(), err)
	}
	return nil
}

// Detach undoes Attach. That it was undone already is no error.
func Detach(device string) error {
	if !strings.HasPrefix(device, "/dev/loop") {
		return fmt.Errorf("detach %s: not a loop device", device)
	}
	loop, err := os.Open(device)
	if err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	defer loop.Close()
	// While blkback still holds the device, the kernel takes it down at the last close instead.
	err = unix.IoctlSetInt(int(loop.Fd()), unix.LOOP_CLR_FD, 0)
	if err != nil && !errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("detach %s: %w", device, err)
	}
	return nil
}
