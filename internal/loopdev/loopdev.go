// Package loopdev makes block devices of files, loop(4).
package loopdev

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
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

// Switch gives all loop devices over files of the file system with that number (st_dev of stat(2)), which is or was
// mounted at old, the same files below dir. Whoever has them open goes on (LOOP_CHANGE_FD, loop(4)). They have to be
// for reading only, and the files of the same size: if one of them is not, none is switched.
func Switch(device uint64, old, dir string) (err error) {
	used, err := filepath.Glob("/sys/block/loop*/loop/backing_file") // only those in use have it
	if err != nil {
		return err
	}
	var errs []error
	var switches []loopSwitch
	defer func() {
		for _, s := range switches {
			s.close()
		}
	}()
	for _, name := range used {
		loop := filepath.Join("/dev", filepath.Base(filepath.Dir(filepath.Dir(name))))
		s, err := openSwitch(loop, name, device, old, dir)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", loop, err))
		}
		switches = append(switches, s)
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	for _, s := range switches {
		if s.file == nil {
			continue
		}
		err := unix.IoctlSetInt(int(s.loop.Fd()), loopChangeFD, int(s.file.Fd()))
		if err != nil && !Gone(err) {
			errs = append(errs, fmt.Errorf("%s: %w", s.loop.Name(), err))
		}
	}
	return errors.Join(errs...)
}

// loopChangeFD is LOOP_CHANGE_FD of linux/loop.h.
const loopChangeFD = 0x4c06

// loopSwitch is a loop device and the file that it is to have, nil where it keeps the one that it has.
type loopSwitch struct{ loop, file *os.File }

func (s loopSwitch) close() {
	s.loop.Close() // closing none does nothing
	s.file.Close()
}

// openSwitch opens a loop device and finds the file that it is to have. It says so if the kernel would refuse that.
func openSwitch(loop, backing string, device uint64, old, dir string) (s loopSwitch, err error) {
	var info *unix.LoopInfo64
	if s.loop, err = os.Open(loop); err == nil {
		info, err = unix.IoctlLoopGetStatus64(int(s.loop.Fd()))
	}
	if Gone(err) || err == nil && info.Device != device {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	// What is no longer mounted is named from its own root.
	text, err := os.ReadFile(backing)
	if err != nil {
		return s, err
	}
	name := strings.TrimPrefix(strings.TrimSuffix(string(text), "\n"), strings.TrimSuffix(old, "/"))
	root, err := os.OpenRoot(dir)
	if err != nil {
		return s, err
	}
	defer root.Close()
	file, err := root.Open(strings.TrimPrefix(name, "/"))
	if err != nil {
		return s, err
	}
	s.file = file
	return s, mayHave(s.loop, info, file)
}

// mayHave says why a loop device may not have a file in place of its own.
func mayHave(loop *os.File, info *unix.LoopInfo64, file *os.File) error {
	if info.Flags&unix.LO_FLAGS_READ_ONLY == 0 {
		return errors.New("it is not read-only")
	}
	have, err := loop.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	size -= int64(info.Offset)
	if info.Sizelimit > 0 {
		size = min(size, int64(info.Sizelimit))
	}
	if size &^= imageSector - 1; size != have {
		return fmt.Errorf("%s has %d bytes, but %d are needed", file.Name(), size, have)
	}
	return nil
}
