// Package media finds the medium the machine was booted from among its block devices: the one
// that carries zerodisc's volume label and the build id that the boot loader named, never the
// first disc that comes.
package media

import (
	"bytes"
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

// Finder looks for a medium.
type Finder struct {
	ID string // build id, the value of boot.KeyMediumID
	// Devices lists the block devices there are now, by name ("sr0", "sda", "sda1").
	Devices func() ([]string, error)
	// Changed gets a value when a block device has appeared or changed.
	Changed <-chan struct{}
	// Every is the time between two looks when nothing has changed.
	Every time.Duration
	// Mount mounts the device read-only at boot.MediaMount; Unmount takes that back. They are
	// replaced in tests.
	Mount   func(device, dir string) error
	Unmount func(dir string) error
}

// New returns a Finder over this machine's devices.
func New(id string, changed <-chan struct{}) *Finder {
	return &Finder{
		ID: id, Changed: changed, Every: time.Second, Devices: sysBlock,
		Mount: func(device, dir string) error {
			return unix.Mount(device, dir, "iso9660", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, "")
		},
		Unmount: func(dir string) error { return unix.Unmount(dir, 0) },
	}
}

// Find mounts the medium at dir and returns its device. It looks at every device, then again
// whenever Changed says so, until ctx ends; a slow CD drive or USB stick may take seconds. It also
// looks every second: the kernel does not tell that the disc in a drive has become readable, since
// without udev nobody makes it poll drives (block.events_dfl_poll_msecs is 0).
func (f *Finder) Find(ctx context.Context, dir string) (string, error) {
	seen := map[string]error{}
	for {
		device, err := f.scan(dir, seen)
		if device != "" || err != nil {
			return device, err
		}
		select {
		case <-f.Changed:
		case <-time.After(f.Every):
		case <-ctx.Done():
			return "", fmt.Errorf("no medium with build id %s among %d devices%s: %w", f.ID, len(seen), reasons(seen), ctx.Err())
		}
	}
}

// scan tries every device once and returns the one that was the medium, "" for none.
func (f *Finder) scan(dir string, seen map[string]error) (string, error) {
	devices, err := f.Devices()
	if err != nil {
		return "", fmt.Errorf("list block devices: %w", err)
	}
	for _, device := range devices {
		err := f.try(device, dir)
		if err == nil {
			return device, nil
		}
		seen[device] = err
	}
	return "", nil
}

var (
	errNotOurs = errors.New("not a zerodisc medium")
	errOtherID = errors.New("another zerodisc build")
	errNoDisc  = errors.New("no disc, or the drive is not ready")
)

// try mounts device at dir when it is the medium looked for.
func (f *Finder) try(device, dir string) error {
	label, err := volumeID(device)
	if err != nil {
		return err
	}
	if label != boot.VolumeID {
		return errNotOurs
	}
	if err := f.Mount(device, dir); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, boot.MediumIDDir, f.ID)); err != nil {
		return errors.Join(errOtherID, f.Unmount(dir))
	}
	return nil
}

// volumeID reads the volume identifier of an ISO 9660 file system (ECMA-119 8.4.7: the primary
// volume descriptor at byte 32,768, identifier at offset 40, 32 bytes).
func volumeID(device string) (string, error) {
	// Without O_NONBLOCK the kernel pulls in an open tray, under the hand of the person who is
	// about to put the disc in (open_for_common in drivers/cdrom/cdrom.c).
	f, err := os.OpenFile(device, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if isEmptyDrive(f) {
		return "", errNoDisc
	}
	var d [72]byte
	if _, err := f.ReadAt(d[:], 16*2048); err != nil && !errors.Is(err, io.EOF) {
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
	cdsNotReady      = 3
)

// isEmptyDrive says whether f is an optical drive without a disc that can be read. A read would
// say so too, but the kernel would write about each on the console.
func isEmptyDrive(f *os.File) bool {
	status, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), cdromDriveStatus, cdslCurrent)
	return errno == 0 && status >= cdsNoDisc && status <= cdsNotReady // what is no such drive fails
}

// reasons tells apart what a person can act on: devices that could not be read, other builds.
func reasons(seen map[string]error) string {
	var text string
	for _, device := range slices.Sorted(maps.Keys(seen)) {
		if err := seen[device]; !errors.Is(err, errNotOurs) {
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
