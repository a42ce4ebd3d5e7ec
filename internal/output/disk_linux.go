package output

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/blkid"
	"github.com/zerodisc/zerodisc/internal/bytesize"
	"github.com/zerodisc/zerodisc/internal/disks"
	"github.com/zerodisc/zerodisc/internal/printable"
)

// disk is a whole disk that nobody else uses.
type disk struct {
	*os.File
	size int64 // bytes
}

// openDisk opens a whole disk for writing. O_EXCL of a block device is Linux's own check that neither it nor
// a partition of it is mounted, swapped to, or part of a RAID or a volume group, and keeps it so.
func openDisk(name string, erase bool) (*disk, error) {
	if isPartition(name) {
		return nil, errors.New("it is a partition; name the whole disk, from whose first sector the image starts")
	}
	if !erase {
		return nil, fmt.Errorf("it is a disk: %s; %s overwrites it, and everything on it is lost",
			describe(name), EraseFlag)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|unix.O_EXCL, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("it is in use: %s; unmount what is mounted, or name another disk", describe(name))
	}
	if err != nil {
		return nil, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &disk{f, size}, nil
}

// write writes an image of size bytes from the first sector on, and closes the disk once it has all of it.
func (d *disk) write(size int64, write func(io.Writer) error) error {
	defer d.Close()
	if size > d.size {
		return fmt.Errorf("it has %s (%d bytes) and the image %s (%d bytes); nothing was written",
			bytesize.Text(d.size), d.size, bytesize.Text(size), size)
	}
	err := write(d.File)
	if err == nil {
		err = d.Sync()
	}
	if err != nil {
		return fmt.Errorf("%w; the disk holds a part of the image now and does not boot", err)
	}
	// The kernel should see the new partitions. Where it cannot, they are right all the same: a loop
	// device, say, may have none.
	_ = unix.IoctlSetInt(int(d.Fd()), unix.BLKRRPART, 0)
	return d.Close()
}

// OnDisk says whether the device name is the disk of f, or a partition of it.
func (f File) OnDisk(name string) bool {
	real, onDisk, err := f.place()
	if err != nil || !onDisk {
		return false
	}
	own, other := wholeDisk(real), wholeDisk(name)
	return own != "" && own == other
}

// isMountPoint says whether another file system begins at a directory, or a part of the same one is mounted there.
func isMountPoint(dir string) bool {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, dir, 0, 0, &st)
	const root = unix.STATX_ATTR_MOUNT_ROOT
	return err == nil && st.Attributes_mask&root != 0 && st.Attributes&root != 0
}

// inSysfs is the directory of a block device in sysfs; "" for what is none.
func inSysfs(name string) string {
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return ""
	}
	dir, err := filepath.EvalSymlinks(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)))
	if err != nil {
		return ""
	}
	return dir
}

func isPartition(name string) bool {
	dir := inSysfs(name)
	_, err := os.Stat(filepath.Join(dir, "partition"))
	return dir != "" && err == nil
}

// wholeDisk is the directory in sysfs of the disk that a block device is, or is a partition of.
func wholeDisk(name string) string {
	dir := inSysfs(name)
	if dir != "" && isPartition(name) {
		return filepath.Dir(dir)
	}
	return dir
}

// describe says what a disk is and what is on it, as far as that can be found out.
func describe(name string) string {
	base := filepath.Base(wholeDisk(name))
	list, err := disks.List(os.DirFS("/sys"))
	first := slices.IndexFunc(list, func(d disks.Device) bool { return d.Name == base && !d.Partition })
	if err != nil || first < 0 {
		return describeDevice(disks.Device{Name: base})
	}
	parts := []string{describeDevice(list[first])}
	for _, d := range list[first+1:] {
		if !d.Partition {
			break
		}
		parts = append(parts, describeDevice(d))
	}
	return strings.Join(parts, "; ")
}

// describeDevice describes a disk or a partition: "sdb1 15.5 GB vfat "STICK" mounted at /media/stick".
func describeDevice(d disks.Device) string {
	words := []string{d.Name}
	if d.Bytes > 0 {
		words = append(words, bytesize.Text(d.Bytes))
	}
	if d.Model != "" {
		words = append(words, d.Model)
	}
	device := "/dev/" + d.Name
	if f, err := os.Open(device); err == nil {
		defer f.Close()
		if content, err := blkid.IdentifyFile(f); err == nil && content.Type != "" {
			words = append(words, content.Type)
			if content.Label != "" {
				words = append(words, fmt.Sprintf("%q", content.Label))
			}
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	if at := disks.MountPoints(string(mounts))[device]; at != "" {
		words = append(words, "mounted at "+printable.Line(at))
	}
	return strings.Join(words, " ")
}
