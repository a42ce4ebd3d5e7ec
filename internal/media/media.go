// Package media finds the medium the machine was booted from: the block device that carries
// zerodisc's volume label and the build id that the boot loader named, never the first disc that
// comes; or the ISO file with both in a file system on one of them, which is how GRUB's loopback
// command and Ventoy boot.
package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/disks"
	"github.com/zerodisc/zerodisc/internal/loopdev"
	"github.com/zerodisc/zerodisc/internal/readonly"
)

// Medium is where the medium was found.
type Medium struct {
	Device string // block device: /dev/sr0
	// File is the path of the ISO file in the file system on Device, which is mounted at HostDir; "" when Device
	// itself is the medium.
	File, HostDir string
}

// Finder looks for a medium.
type Finder struct {
	ID string // medium id, the value of boot.KeyMediumID
	// ISOFile is the path of the ISO file in its file system, the value of boot.KeyISOFile; "" where
	// the boot loader did not give it.
	ISOFile string
	// Devices lists the block devices there are now, by name ("sr0", "sda", "sda1").
	Devices func() ([]string, error)
	// Changed gets a value when a block device has appeared or changed.
	Changed <-chan struct{}
	// Every is the time between two looks when nothing has changed, and once that was so for as long as Often, and no
	// drive is reading its disc in, it is Seldom: each look wakes disks.
	Every, Often, Seldom time.Duration
	// Patience is how long one device is waited for before the others are looked at. Its answer counts
	// when it comes.
	Patience time.Duration
	// SearchISOFiles says whether file systems are mounted and searched for an ISO file at all.
	SearchISOFiles bool
	// Quiet is how long nothing has to change, and no optical drive to be reading its disc in,
	// before file systems are searched for an ISO file that the boot loader did not name: a slow
	// drive is likelier. AtLast after the start of Find they are searched in any case.
	Quiet, AtLast time.Duration
	// HostDir is where a file system is mounted that is searched. While one is stuck there, HostDir-2 and
	// so on are used.
	HostDir string

	// Mount, MountHost and MountISO mount a device that is a medium, a file system that may hold
	// the ISO file, and the ISO file; all for reading only. Unmount takes each back. They are
	// replaced in tests.
	Mount     func(device, dir string) error
	MountHost func(device, dir string, how readonly.Mount) error
	MountISO  func(file *os.File, dir string) error
	Unmount   func(dir string) error
}

// New returns a Finder over this machine's devices.
func New(id, isoFile string, changed <-chan struct{}) *Finder {
	return &Finder{
		ID: id, ISOFile: isoFile, Changed: changed, Devices: sysBlock,
		Every: time.Second, Often: 30 * time.Second, Seldom: 10 * time.Second, Patience: 3 * time.Second,
		SearchISOFiles: true, Quiet: 2 * time.Second, AtLast: 15 * time.Second,
		HostDir: HostMount,
		Mount:   mountDevice, MountHost: mountHost, MountISO: mountISO,
		Unmount: func(dir string) error { return unix.Unmount(dir, 0) },
	}
}

// Find mounts the medium at dir and says where it was. It looks at every device, then again
// whenever Changed says so, until ctx ends; a slow CD drive or USB stick may take seconds. It also
// looks every second, and later every 10: the kernel polls drives every two seconds and tells of another disc, but not
// that it has become readable.
//
// A dying disk keeps whoever reads it in the kernel for minutes. Each device is looked at in a goroutine of its
// own, which is left behind when ctx ends; what it still mounts then, it unmounts itself.
func (f *Finder) Find(ctx context.Context, dir string) (Medium, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := newSearch(f, dir)
	defer s.finish()
	defer cancel()
	for {
		medium, err := s.scan(ctx)
		if medium.Device != "" || err != nil {
			return medium, err
		}
		if medium = s.rest(ctx); medium.Device != "" {
			return medium, nil
		}
		if ctx.Err() != nil {
			return Medium{}, fmt.Errorf("no medium with build id %s among %d devices, nor its ISO file on them%s: %w",
				f.ID, len(s.devices), s.reasons(), ctx.Err())
		}
	}
}

// mountDevice mounts the medium on a block device. The driver takes no device whose sectors are larger than the
// medium's, 2,048 bytes (isofs_fill_super in fs/isofs/inode.c). UFS and some disks have 4,096. From a CD drive that
// Linux takes to have sectors of 512, since it does not say that it is ready (QEMU's megasas), the driver reads too
// little at a time. A loop device has sectors of 512, and gets them out of the page cache.
func mountDevice(device, dir string) error {
	const flags = unix.MS_NOSUID | unix.MS_NODEV
	err := unix.Mount(device, dir, "iso9660", unix.MS_RDONLY|flags, "")
	if !errors.Is(err, unix.EINVAL) {
		return err
	}
	file, err := os.Open(device)
	if err != nil {
		return err
	}
	defer file.Close()
	return loopdev.MountBuffered(file, dir, "iso9660", flags)
}

// volumeID reads the volume identifier of the ISO 9660 file system on device.
func volumeID(device string) (string, error) {
	// Without O_NONBLOCK the kernel pulls in an open tray, under the hand of the person who is
	// about to put the disc in (open_for_common in drivers/cdrom/cdrom.c).
	f, err := os.OpenFile(device, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := driveStatus(f); err != nil {
		return "", err
	}
	return readVolumeID(f)
}

// IsThere says whether a zerodisc is in a device. One that cannot be read, or not yet, may be there.
func IsThere(device string) bool {
	label, err := volumeID(device)
	if err != nil {
		return !errors.Is(err, errNoDisc) && !errors.Is(err, errNotOurs)
	}
	return label == boot.VolumeID
}

// volumeDescriptors is where the descriptors of ISO 9660 begin, bytes (ECMA-119 6.2.1).
const volumeDescriptors = 16 * 2048

// readVolumeID reads the volume identifier of an ISO 9660 file system (ECMA-119 8.4.7: the primary
// volume descriptor at byte 32,768, identifier at offset 40, 32 bytes).
func readVolumeID(r io.ReaderAt) (string, error) {
	var d [72]byte
	if _, err := r.ReadAt(d[:], volumeDescriptors); err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if d[0] != 1 || !bytes.Equal(d[1:6], []byte("CD001")) {
		return "", errNotOurs
	}
	return string(bytes.TrimRight(d[40:72], " ")), nil
}

// driveStatus returns an error when f is an optical drive without a disc that can be read.
func driveStatus(f *os.File) error {
	switch disks.DiscIn(f.Fd()) {
	case disks.NoDisc:
		return errNoDisc
	case disks.NotReady:
		return errNotReady
	}
	return nil
}

// sysBlock lists whole disks and partitions, optical drives first: the likeliest first saves
// spinning up what need not be read. A floppy is too small for a medium, and an empty drive takes
// seconds to say so. What is made of files, of memory or for guests' disks is none.
func sysBlock() ([]string, error) {
	entries, err := os.ReadDir("/sys/class/block")
	if err != nil {
		return nil, err
	}
	var optical, others []string
	for _, e := range entries {
		name := e.Name()
		switch disks.KindOf(name) {
		case disks.Optical:
			optical = append(optical, "/dev/"+name)
		case disks.Hardware:
			others = append(others, "/dev/"+name)
		}
	}
	return append(optical, others...), nil
}
