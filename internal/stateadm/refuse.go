package stateadm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/blkid"
	"github.com/zerodisc/zerodisc/internal/bytesize"
	"github.com/zerodisc/zerodisc/internal/disks"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/printable"
)

// leastBytes is the smallest state volume: a journal, and a little room.
const leastBytes = 64 << 20

// refuse is an error where a device is not to be overwritten.
func (t *tool) refuse(d device, now *host.Snapshot) error {
	kind := disks.KindOf(d.name)
	switch {
	case kind != disks.Hardware && kind != disks.Combined:
		return fmt.Errorf("%s is no disk", d.path())
	case d.readOnly && kind == disks.Combined:
		return fmt.Errorf("%s is a logical volume or an array, which can only be read here; take a disk or a partition",
			d.path())
	case d.readOnly:
		return fmt.Errorf("%s is write-protected; remove the protection", d.path())
	case d.bytes < leastBytes:
		return fmt.Errorf("%s has %s, a state volume needs %s at least",
			d.path(), bytesize.Text(d.bytes), bytesize.Text(leastBytes))
	}
	if err := t.refuseMedium(d, now.Host.Medium); err != nil {
		return err
	}
	if err := t.refuseSecond(d, now); err != nil {
		return err
	}
	swaps, _ := os.ReadFile(filepath.Join(t.proc, "swaps"))
	for _, part := range d.all() {
		if err := t.inUse(part, now, string(swaps)); err != nil {
			return err
		}
	}
	return nil
}

// inUse is an error where a device is used.
func (t *tool) inUse(d device, now *host.Snapshot, swaps string) error {
	for _, m := range d.mounts {
		if !m.ours() {
			return fmt.Errorf("%s is mounted at %s; unmount it first", d.path(), printable.Line(m.dir))
		}
	}
	for line := range strings.Lines(swaps) {
		if strings.HasPrefix(line, d.path()+" ") || strings.HasPrefix(line, d.path()+"\t") {
			return fmt.Errorf("%s is swap space in use; swapoff %s frees it", d.path(), d.path())
		}
	}
	if len(d.holders) > 0 {
		return fmt.Errorf("%s is a part of %s, which is in use; take that apart first",
			d.path(), strings.Join(d.holders, ", "))
	}
	for _, g := range now.Guests {
		for _, disk := range g.AllDisks() {
			target, err := filepath.EvalSymlinks(disk.Target)
			if err == nil && g.Phase.Live() && target == filepath.Join(t.dev, d.name) {
				return fmt.Errorf("%s is a disk of the guest %s; shut it down first", d.path(), g.Name)
			}
		}
	}
	return nil
}

// refuseMedium is an error where a device is the boot medium, or a part of what was booted. A medium that is in memory
// may have been taken out, and another disk may have its name: it is known by what it holds.
func (t *tool) refuseMedium(d device, medium host.Medium) error {
	refused := fmt.Errorf("%s is the boot medium; take another disk, or a partition behind the disc's own", d.path())
	name := filepath.Base(medium.Device)
	isThat := slices.ContainsFunc(d.all(), func(p device) bool { return p.name == name })
	switch {
	case medium.Device == "" || !isThat && d.disk != name:
		return nil
	case medium.File != "": // an ISO file in a file system
		if isThat && medium.State != host.MediumInRAM {
			return refused
		}
		return nil
	}
	image, err := t.imageBytes(name)
	if err != nil {
		return fmt.Errorf("%w (it cannot be read: %w)", refused, err)
	}
	if isThat && image > 0 || !isThat && d.start < image {
		return refused
	}
	return nil
}

// Where an ISO 9660 file system says how large it is: the number of its blocks of 2 KiB (ECMA-119 8.4.8).
const (
	isoDescriptor = 16 * 2048
	isoBlocks     = isoDescriptor + 80
)

// imageBytes is how much of its disk a zerodisc takes with its files, 0 where there is none.
func (t *tool) imageBytes(name string) (int64, error) {
	file, err := os.Open(filepath.Join(t.dev, name))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	content, err := blkid.IdentifyFile(file)
	if err != nil || content.Type != "iso9660" || content.Label != boot.VolumeID {
		return 0, err
	}
	var blocks [4]byte
	if _, err := file.ReadAt(blocks[:], isoBlocks); err != nil {
		return 0, err
	}
	return int64(binary.LittleEndian.Uint32(blocks[:]))*2048 - boot.MediumPadding, nil
}

// refuseSecond is an error where another device is the state volume already: of two neither is used.
func (t *tool) refuseSecond(d device, now *host.Snapshot) error {
	v := now.Host.State
	isThis := slices.ContainsFunc(d.all(), func(p device) bool { return p.path() == v.Device })
	pulled := false
	if v.Mount == "" {
		_, err := os.Stat(filepath.Join(t.dev, filepath.Base(v.Device)))
		pulled = v.Guests != nil || errors.Is(err, fs.ErrNotExist)
	}
	switch {
	case isThis && v.File != "" && v.Mount != "":
		return fmt.Errorf("%s is the state volume, in a file; umount %s first", d.path(), v.Mount)
	case v.Device == "" || isThis || pulled:
		return nil
	}
	return fmt.Errorf("%s is the state volume already; unplug it first, since of two none is used", v.Device)
}

// ours says whether it was zerodisc that has mounted a file system, to look for guests in it.
func (m mount) ours() bool {
	return m.backing != "" && m.readOnly && m.dir != boot.MediaMount && strings.HasPrefix(m.dir, boot.MediaDir+"/")
}

// letGo unmounts what zerodisc has mounted of a device.
func (t *tool) letGo(d device) error {
	for _, part := range d.all() {
		for _, m := range part.mounts {
			err := unix.Unmount(m.dir, 0)
			if errors.Is(err, unix.EBUSY) {
				return fmt.Errorf("%s is in use at %s: shut down the guests whose disks are there, and leave it",
					part.path(), printable.Line(m.dir))
			}
			if err != nil {
				return fmt.Errorf("unmount %s: %w", printable.Line(m.dir), err)
			}
			_ = os.Remove(m.dir)
		}
	}
	return nil
}
