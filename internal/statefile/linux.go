package statefile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/blkid"
	"github.com/zerodisc/zerodisc/internal/devmapper"
	"github.com/zerodisc/zerodisc/internal/loopdev"
	"github.com/zerodisc/zerodisc/internal/readonly"
)

// Find looks for the file in the file system of this type on a device, which it mounts for reading. It returns what
// tells the file from another one, "" where there is none.
func Find(device, kind string) (id string, err error) {
	disk, err := os.Open(device)
	if err != nil {
		return "", err
	}
	defer disk.Close()
	err = inside(disk, kind, func(file *os.File) error {
		content, err := blkid.IdentifyFile(file)
		id = "file " + content.UUID // Open says what is wrong with it
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return id, err
}

// Open makes a block device of the file in the file system of this type on a device, for reading only if asked, and
// returns its path and its name. Errors are ErrUnclean, unless it is for reading only, and those that say what is wrong
// with the file. It needs the device mapper's module. asked is called again and again for as long as the processor
// is busy with it.
func Open(device, kind string, readOnly bool, asked func()) (mapped, name string, err error) {
	disk, err := claim(device, readOnly)
	if err != nil {
		return "", "", err
	}
	defer disk.Close()
	if !readOnly {
		if err := Clean(disk, kind); err != nil {
			return "", "", err
		}
	}
	loop, err := loopdev.Open(disk, readOnly)
	if err != nil {
		return "", "", err
	}
	defer loop.Close() // until the mapped device has it
	name = NamePrefix + filepath.Base(loop.Name())
	err = inside(disk, kind, func(file *os.File) error {
		extents, bytes, err := locate(file, disk, kind, asked)
		if err == nil {
			mapped, err = devmapper.Create(name, "", table(extents, bytes, loop.Name()), readOnly)
		}
		return err
	})
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", Name, err)
	}
	return mapped, name, nil
}

// claim opens a device and has it to itself, so that nobody mounts it for writing meanwhile. A partition of a disk that
// is mounted as a whole, as the boot medium is, nobody can mount anyway.
func claim(device string, readOnly bool) (*os.File, error) {
	flags := os.O_RDWR
	if readOnly {
		flags = os.O_RDONLY
	}
	disk, err := os.OpenFile(device, flags|unix.O_EXCL, 0)
	if errors.Is(err, unix.EBUSY) {
		return os.OpenFile(device, flags, 0)
	}
	return disk, err
}

// inside calls do with the file while the file system on disk is mounted for reading. Without the file the error is
// fs.ErrNotExist.
func inside(disk *os.File, kind string, do func(*os.File) error) error {
	how, mountable := readonly.Of(kind)
	if !mountable {
		return fmt.Errorf("%s cannot be mounted", kind)
	}
	dir, err := os.MkdirTemp("", "state-file-")
	if err != nil {
		return err
	}
	defer os.Remove(dir)
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := loopdev.Mount(disk, dir, how.Driver, flags, how.Options); err != nil {
		return err
	}
	defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }()
	file, err := os.OpenFile(filepath.Join(dir, Name), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	return do(file)
}

// locate finds out where a file with a state volume lies on disk, and how many bytes it has.
func locate(file, disk *os.File, kind string, asked func()) ([]Extent, int64, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, errors.New("it is no file")
	}
	content, err := blkid.IdentifyFile(file)
	if err != nil {
		return nil, 0, err
	}
	if content.Type != "ext4" || content.Label != boot.StateLabel {
		return nil, 0, fmt.Errorf("it does not hold an ext4 file system with the label %s", boot.StateLabel)
	}
	size, err := disk.Seek(0, 2)
	if err != nil {
		return nil, 0, err
	}
	extents, err := extentsOf(file, kind, info.Size(), asked)
	if err == nil {
		extents, err = check(extents, info.Size(), size)
	}
	if err == nil {
		err = compare(file, disk, extents)
	}
	return extents, info.Size(), err
}

// maxCompared is how many extents are compared: each may take the disk some milliseconds.
const maxCompared = 64

// compare makes sure that the file is where its file system says: the beginning of extents, read both ways.
func compare(file, disk *os.File, extents []Extent) error {
	var there, here [blockBytes]byte
	for i := 0; i < len(extents); i += 1 + len(extents)/maxCompared {
		e := extents[i]
		n := min(e.Length, blockBytes)
		read, err := file.ReadAt(there[:n], e.Logical)
		if int64(read) < sectorBytes && err != nil {
			return err
		}
		if _, err := disk.ReadAt(here[:read], e.Physical); err != nil {
			return err
		}
		if !bytes.Equal(there[:read], here[:read]) {
			return fmt.Errorf("byte %d of it is not where its file system says: make it anew", e.Logical)
		}
	}
	return nil
}

// Close removes the device, as soon as nobody has it open.
func Close(name string) error { return devmapper.Remove(name) }
