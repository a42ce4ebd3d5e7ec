// Package media finds the medium the machine was booted from: the block device that carries
// zerodisc's volume label and the build id that the boot loader named, never the first disc that
// comes; or the ISO file with both in a file system on one of them, which is how GRUB's loopback
// command and Ventoy boot.
package media

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
)

// Medium is where the medium was found.
type Medium struct {
	Device string // block device: /dev/sr0
	File   string // path of the ISO file in the file system on Device, "" when Device itself is the medium
}

// Attrs returns what the console line about the medium says, keys and values in turn.
func (m Medium) Attrs() []any {
	attrs := []any{"device", m.Device}
	if m.File != "" {
		attrs = append(attrs, "file", m.File)
	}
	return attrs
}

// Finder looks for a medium.
type Finder struct {
	ID string // build id, the value of boot.KeyMediumID
	// ISOFile is the path of the ISO file in its file system, the value of boot.KeyISOFile; "" where
	// the boot loader did not give it.
	ISOFile string
	// Devices lists the block devices there are now, by name ("sr0", "sda", "sda1").
	Devices func() ([]string, error)
	// Changed gets a value when a block device has appeared or changed.
	Changed <-chan struct{}
	// Every is the time between two looks when nothing has changed.
	Every time.Duration
	// Quiet is how long nothing has to change, and no optical drive to be reading its disc in,
	// before file systems are searched for an ISO file that the boot loader did not name: a slow
	// drive is likelier. AtLast after the start of Find they are searched in any case.
	Quiet, AtLast time.Duration
	// HostDir is where a file system is mounted that is searched.
	HostDir string

	// Mount, MountHost and MountISO mount a device that is a medium, a file system that may hold
	// the ISO file, and the ISO file; all for reading only. Unmount takes each back. They are
	// replaced in tests.
	Mount     func(device, dir string) error
	MountHost func(device, dir string, kind fileSystem) error
	MountISO  func(file *os.File, dir string) error
	Unmount   func(dir string) error
}

// New returns a Finder over this machine's devices.
func New(id, isoFile string, changed <-chan struct{}) *Finder {
	return &Finder{
		ID: id, ISOFile: isoFile, Changed: changed, Devices: sysBlock,
		Every: time.Second, Quiet: 2 * time.Second, AtLast: 15 * time.Second,
		HostDir: HostMount,
		Mount: func(device, dir string) error {
			return unix.Mount(device, dir, "iso9660", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, "")
		},
		MountHost: mountHost, MountISO: mountISO,
		Unmount: func(dir string) error { return unix.Unmount(dir, 0) },
	}
}

// Find mounts the medium at dir and says where it was. It looks at every device, then again
// whenever Changed says so, until ctx ends; a slow CD drive or USB stick may take seconds. It also
// looks every second: the kernel does not tell that the disc in a drive has become readable, since
// without udev nobody makes it poll drives (block.events_dfl_poll_msecs is 0).
func (f *Finder) Find(ctx context.Context, dir string) (Medium, error) {
	now := time.Now()
	s := &search{Finder: f, dir: dir, start: now, changed: now, devices: map[string]error{}, searched: map[string]error{}}
	for {
		medium, err := s.scan(ctx)
		if medium.Device != "" || err != nil {
			return medium, err
		}
		select {
		case <-f.Changed:
			s.changed = time.Now()
		case <-time.After(f.Every):
		case <-ctx.Done():
			return Medium{}, fmt.Errorf("no medium with build id %s among %d devices, nor its ISO file on them%s: %w",
				f.ID, len(s.devices), s.reasons(), ctx.Err())
		}
	}
}

// search is one run of Find.
type search struct {
	*Finder
	dir      string
	start    time.Time
	changed  time.Time        // when devices last came or changed
	devices  map[string]error // why a device is not the medium
	searched map[string]error // why it is not in the file system on a device; each is searched once
}

// scan tries every device once, then, if the time for that has come, the file systems on them. It
// returns the zero Medium when the medium is not there.
func (s *search) scan(ctx context.Context) (Medium, error) {
	devices, err := s.Devices()
	if err != nil {
		return Medium{}, fmt.Errorf("list block devices: %w", err)
	}
	s.forget(devices)
	for _, device := range devices {
		err := s.try(device)
		if err == nil {
			return Medium{Device: device}, nil
		}
		s.devices[device] = err
	}
	if !s.due() {
		return Medium{}, nil
	}
	for _, device := range devices {
		if ctx.Err() != nil || len(s.Changed) > 0 { // what has come may be the medium itself
			break
		}
		if !s.searchable(device) {
			continue
		}
		file, err := s.tryFileSystem(ctx, device)
		if err == nil {
			return Medium{Device: device, File: file}, nil
		}
		s.searched[device] = err
	}
	return Medium{}, nil
}

// forget drops what is known about devices that are gone: another may come under the same name.
func (s *search) forget(present []string) {
	gone := func(device string, _ error) bool { return !slices.Contains(present, device) }
	maps.DeleteFunc(s.devices, gone)
	maps.DeleteFunc(s.searched, gone)
}

// due says whether it is time to search file systems.
func (s *search) due() bool {
	if s.ISOFile != "" || time.Since(s.start) >= s.AtLast {
		return true
	}
	for _, err := range s.devices {
		if errors.Is(err, errNotReady) {
			return false
		}
	}
	return time.Since(s.changed) >= s.Quiet
}

// searchable says whether there may be a file system on a device that was not searched yet. Devices
// that cannot be read, and another zerodisc, are none.
func (s *search) searchable(device string) bool {
	_, done := s.searched[device]
	return !done && errors.Is(s.devices[device], errNotOurs)
}

var (
	errNotOurs  = errors.New("not a zerodisc medium")
	errOtherID  = errors.New("another zerodisc build")
	errNoDisc   = errors.New("no disc")
	errNotReady = errors.New("the drive is still reading its disc")
)

// try mounts device when it is the medium looked for.
func (s *search) try(device string) error {
	label, err := volumeID(device)
	if err != nil {
		return err
	}
	if label != boot.VolumeID {
		return errNotOurs
	}
	if err := s.Mount(device, s.dir); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	return s.checkID()
}

// checkID unmounts what is mounted unless it is the medium looked for.
func (s *search) checkID() error {
	if _, err := os.Stat(filepath.Join(s.dir, boot.MediumIDDir, s.ID)); err != nil {
		return errors.Join(errOtherID, s.Unmount(s.dir))
	}
	return nil
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

// From linux/cdrom.h.
const (
	cdromDriveStatus = 0x5326
	cdslCurrent      = 1<<31 - 1
	cdsNoDisc        = 1
	cdsTrayOpen      = 2
	cdsNotReady      = 3 // becoming ready (sr_drive_status in drivers/scsi/sr_ioctl.c)
)

// driveStatus returns an error when f is an optical drive without a disc that can be read. A read
// would fail too, but the kernel would write about each on the console.
func driveStatus(f *os.File) error {
	status, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), cdromDriveStatus, cdslCurrent)
	switch {
	case errno != 0: // no such drive
	case status == cdsNoDisc, status == cdsTrayOpen:
		return errNoDisc
	case status == cdsNotReady:
		return errNotReady
	}
	return nil
}

// reasons tells what a person can act on, a device at a time: file systems that were searched,
// what could not be read, other builds.
func (s *search) reasons() string {
	var text string
	for _, device := range slices.Sorted(maps.Keys(s.devices)) {
		err := cmp.Or(s.searched[device], s.devices[device])
		if !errors.Is(err, errNotOurs) && !errors.Is(err, errUnknown) {
			text += fmt.Sprintf(" (%s: %v)", device, err)
		}
	}
	return text
}

// sysBlock lists whole disks and partitions, optical drives first: the likeliest first saves
// spinning up what need not be read. A floppy is too small for a medium, and an empty drive takes
// seconds to say so.
func sysBlock() ([]string, error) {
	entries, err := os.ReadDir("/sys/class/block")
	if err != nil {
		return nil, err
	}
	var optical, others []string
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasPrefix(name, "sr"):
			optical = append(optical, "/dev/"+name)
		case strings.HasPrefix(name, "loop"), strings.HasPrefix(name, "ram"), strings.HasPrefix(name, "fd"):
		default:
			others = append(others, "/dev/"+name)
		}
	}
	return append(optical, others...), nil
}
