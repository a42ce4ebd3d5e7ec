// Package loopdev makes block devices of files, loop(4).
package loopdev

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/printable"
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
		return "", fmt.Errorf("disk %s cannot be written; give it to the guest read-only (mode r), or a copy of it: %w",
			path, err)
	}
	if err != nil {
		return "", fmt.Errorf("disk: %w", err)
	}
	defer file.Close()
	loop, err := attach(file, readOnly, 0)
	if err != nil {
		return "", err
	}
	return loop.Name(), loop.Close()
}

// Open makes file a block device and returns it open; its name is its path. The device goes away when nobody has it
// open any more. The caller may close file.
func Open(file *os.File, readOnly bool) (*os.File, error) {
	return attach(file, readOnly, unix.LO_FLAGS_AUTOCLEAR)
}

// OpenPart is Open for size bytes of file from offset on, for reading only; size 0 is all there is. file may be a block
// device: whatever is made of the part, what file is on is not written to.
func OpenPart(file *os.File, offset, size uint64) (*os.File, error) {
	return attachPart(file, unix.LoopInfo64{
		Offset: offset, Sizelimit: size, Flags: unix.LO_FLAGS_READ_ONLY | unix.LO_FLAGS_AUTOCLEAR,
	})
}

func attach(file *os.File, readOnly bool, flags uint32) (*os.File, error) {
	if readOnly {
		flags |= unix.LO_FLAGS_READ_ONLY
	}
	return attachPart(file, unix.LoopInfo64{Flags: flags})
}

func attachPart(file *os.File, info unix.LoopInfo64) (*os.File, error) {
	control, err := openControl()
	if err != nil {
		return nil, err
	}
	defer control.Close()
	return attachFree(control, file, info)
}

// MountImage mounts the squashfs image at path, for reading only.
func MountImage(path, target string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	defer file.Close()
	return Mount(file, target, "squashfs", unix.MS_NOSUID|unix.MS_NODEV, "")
}

// Mount mounts the file system in file, which may be a block device, at target for reading only.
// flags and data are mount(2)'s. The loop device goes away when target is unmounted. It refuses
// writes by itself: whatever the driver of the file system is up to, file is not changed.
func Mount(file *os.File, target, fstype string, flags uintptr, data string) error {
	return mount(file, target, fstype, flags, data, false)
}

// MountBuffered is Mount by way of the kernel's page cache. file, a block device, is read in pages then, whatever the
// file system asks for.
func MountBuffered(file *os.File, target, fstype string, flags uintptr) error {
	return mount(file, target, fstype, flags, "", true)
}

func mount(file *os.File, target, fstype string, flags uintptr, data string, buffered bool) error {
	loop, err := Open(file, true)
	if err != nil {
		return err
	}
	defer loop.Close() // until the mount holds the device: the last close takes it down
	if buffered {
		err = unix.IoctlSetInt(int(loop.Fd()), unix.LOOP_SET_DIRECT_IO, 0)
	}
	if err == nil {
		err = unix.IoctlSetInt(int(loop.Fd()), unix.LOOP_SET_BLOCK_SIZE, imageSector)
	}
	if err != nil {
		return fmt.Errorf("set up %s: %w", loop.Name(), err)
	}
	if err := unix.Mount(loop.Name(), target, fstype, flags|unix.MS_RDONLY, data); err != nil {
		return fmt.Errorf("mount %s as %s: %w", printable.Line(file.Name()), fstype, err)
	}
	return nil
}

// MountDevice mounts the file system on a block device, as flags and data say (mount(2)). A partition of a disk that is
// mounted as a whole, as the boot medium is, is mounted through a loop device: the kernel lets only one have both.
func MountDevice(device, target, fstype string, flags uintptr, data string) error {
	err := unix.Mount(device, target, fstype, flags, data)
	if errors.Is(err, unix.EBUSY) {
		err = mountByLoop(device, target, fstype, flags, data)
	}
	if err != nil {
		return fmt.Errorf("mount %s: %w", device, err)
	}
	return nil
}

func mountByLoop(device, target, fstype string, flags uintptr, data string) error {
	readOnly := flags&unix.MS_RDONLY != 0
	mode := os.O_RDWR
	if readOnly {
		mode = os.O_RDONLY
	}
	file, err := os.OpenFile(device, mode, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	loop, err := Open(file, readOnly)
	if err != nil {
		return err
	}
	defer loop.Close() // until the mount holds the device
	return unix.Mount(loop.Name(), target, fstype, flags, data)
}

// openControl opens what hands out loop devices.
func openControl() (*os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("loop driver (is the module loop loaded?): %w", err)
	}
	return control, nil
}

// attachFree asks the driver for a free device until one is got, and returns it open.
func attachFree(control, file *os.File, info unix.LoopInfo64) (*os.File, error) {
	for range attempts {
		number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("find a free loop device: %w", err)
		}
		loop, err := configure(fmt.Sprintf("/dev/loop%d", number), file, info)
		if err == nil {
			return loop, nil
		}
		if !errors.Is(err, unix.EBUSY) && !Gone(err) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("find a free loop device: %d were taken by others in between", attempts)
}

// imageSector is how large an image's sectors are, wherever it lies, bytes. Asked for direct I/O, the kernel would take
// those of the disk below: from a disk with sectors of 4,096 an ISO 9660 could not be mounted, and the partitions in a
// guest's image would be lost.
const imageSector = 512

// configure backs a loop device with file; info has LO_FLAGS_* and which part of it. Direct I/O saves dom0 a second
// copy of the data in its page cache; the kernel falls back to buffered I/O where the file system
// cannot do it (drivers/block/loop.c: loop_configure).
func configure(device string, file *os.File, info unix.LoopInfo64) (*os.File, error) {
	loop, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("loop device: %w", err)
	}
	config := unix.LoopConfig{Fd: uint32(file.Fd()), Info: info}
	config.Info.Flags |= unix.LO_FLAGS_DIRECT_IO
	if stat, err := file.Stat(); err == nil && stat.Mode().IsRegular() {
		config.Size = imageSector
	}
	// One byte less than the field keeps it NUL-terminated for losetup.
	copy(config.Info.File_name[:len(config.Info.File_name)-1], file.Name())
	if err := unix.IoctlLoopConfigure(int(loop.Fd()), &config); err != nil {
		loop.Close()
		return nil, fmt.Errorf("back %s with %s: %w", device, printable.Line(file.Name()), err)
	}
	return loop, nil
}

// Gone reports whether err, of opening a loop device or asking it for its file, says that the device is not in use,
// or about to be: between the last close and the end of its teardown the kernel refuses to open it
// (drivers/block/loop.c: lo_open), and it may be removed at any time.
func Gone(err error) bool {
	return errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT)
}

// Detach undoes Attach. That it was undone already is no error.
func Detach(device string) error {
	if !strings.HasPrefix(device, "/dev/loop") {
		return fmt.Errorf("detach %s: not a loop device", device)
	}
	loop, err := os.Open(device)
	if Gone(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	defer loop.Close()
	// While blkback still holds the device, the kernel takes it down at the last close instead.
	err = unix.IoctlSetInt(int(loop.Fd()), unix.LOOP_CLR_FD, 0)
	if err != nil && !Gone(err) {
		return fmt.Errorf("detach %s: %w", device, err)
	}
	return nil
}
