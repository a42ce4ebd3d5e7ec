package hotplug

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
)

// lockPath serialises the applets. The file stays: removing it would let two holders in.
const lockPath = boot.RunDir + "/hotplug.lock"

// lockPoll is the pause between two tries for the lock.
const lockPoll = 20 * time.Millisecond

// lockFile takes the applets' lock, the file name, and waits for it until ctx ends: an applet that deals with a
// dying disk may hang in the kernel, and its lock with it.
func lockFile(ctx context.Context, name string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf(
				"another guest's disk is being set up and does not get ready (a dying disk?); see dmesg: %w",
				ctx.Err())
		}
	}
}

// kernelLinks is Links over rtnetlink.
type kernelLinks struct{}

// linkPoll is the pause between two looks for an interface that is about to be created.
const linkPoll = 10 * time.Millisecond

func (kernelLinks) Wait(ctx context.Context, name string) error {
	for {
		_, err := os.Stat("/sys/class/net/" + name)
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		select {
		case <-time.After(linkPoll):
		case <-ctx.Done():
			return fmt.Errorf("interface %s did not appear within %v; is the module xen-netback loaded?", name, timeout)
		}
	}
}

func (kernelLinks) Rename(name, to string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetName(link, to)
}

func (kernelLinks) MTU(name string) (int, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return 0, err
	}
	return link.Attrs().MTU, nil
}

func (kernelLinks) SetMTU(name string, mtu int) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetMTU(link, mtu)
}

// kernelDisks is Disks over the file system, sysfs and the loop driver.
type kernelDisks struct{}

func (kernelDisks) Identify(path string) (Medium, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return Medium{}, fmt.Errorf("disk: %w", err)
	}
	var stat unix.Stat_t
	if err := unix.Stat(resolved, &stat); err != nil {
		return Medium{}, fmt.Errorf("disk %s: %w", resolved, err)
	}
	m := Medium{Path: resolved, Device: uint64(stat.Dev), Inode: stat.Ino}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFBLK:
		m.Block = true
		m.Number = numberOf(uint64(stat.Rdev))
	default:
		return Medium{}, fmt.Errorf("disk %s is neither a block device nor a file", resolved)
	}
	return m, nil
}

func (k kernelDisks) Mounts() ([]Mount, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	defer file.Close()
	mounts, err := parseMountInfo(file)
	findSources(mounts, k.Identify)
	return mounts, err
}

// Claimed tries to have the device for itself, as mount(2), swapon(2), device mapper, RAID and file systems on
// several disks do (O_EXCL of a block device, open(2)).
func (kernelDisks) Claimed(device Medium) (bool, error) {
	fd, err := unix.Open(device.Path, unix.O_RDONLY|unix.O_EXCL|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EBUSY) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("disk %s: %w", device.Path, err)
	}
	return false, unix.Close(fd)
}

func (kernelDisks) Relatives(n Number) (Relatives, error) {
	return relatives("/sys", n)
}

// relatives reads /sys/dev/block/MAJOR:MINOR, a link to the device's directory: a partition has
// a file "partition" there and its disk one level up, a disk has its partitions' directories inside. What
// device mapper and RAID make of a device are links in "holders", what it is made of those in "slaves".
func relatives(sys string, n Number) (Relatives, error) {
	link := filepath.Join(sys, "dev/block", fmt.Sprintf("%d:%d", n.Major, n.Minor))
	dir, err := filepath.EvalSymlinks(link)
	if errors.Is(err, fs.ErrNotExist) {
		return Relatives{}, nil // a device without sysfs entry has none
	}
	if err != nil {
		return Relatives{}, fmt.Errorf("relatives of device %d:%d: %w", n.Major, n.Minor, err)
	}
	below, above := devicesIn(dir, "slaves/*/dev"), devicesIn(dir, "*/partition")
	var origins, readers []string
	for _, holder := range devicesIn(dir, "holders/*/dev") {
		if isCopyOnWrite(holder) {
			readers = append(readers, holder)
		} else {
			above = append(above, holder)
		}
	}
	if isCopyOnWrite(dir) {
		origins, below = below, nil
	}
	if exists(filepath.Join(dir, "partition")) {
		below = append(below, filepath.Dir(dir))
	}
	var r Relatives
	for _, list := range []struct {
		to   *[]Number
		from []string
	}{{&r.Below, below}, {&r.Above, above}, {&r.Origins, origins}, {&r.Readers, readers}} {
		if *list.to, err = readNumbers(list.from); err != nil {
			return r, err
		}
	}
	return r, nil
}

// isCopyOnWrite says whether a device's directory is that of a guest's disk with copy-on-write, by the name that it
// has for the device mapper.
func isCopyOnWrite(dir string) bool {
	uuid, err := os.ReadFile(filepath.Join(dir, "dm/uuid"))
	return err == nil && strings.HasPrefix(string(uuid), boot.CopyOnWriteUUID)
}

// devicesIn lists the directories of the devices that have a file that matches pattern.
func devicesIn(dir, pattern string) []string {
	files, _ := filepath.Glob(filepath.Join(dir, pattern)) // fails for a bad pattern only
	for i := range files {
		files[i] = filepath.Dir(files[i])
	}
	return files
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// readNumbers reads the numbers of devices by their directories. One that has gone meanwhile is left out.
func readNumbers(dirs []string) ([]Number, error) {
	var numbers []Number
	for _, dir := range dirs {
		text, err := os.ReadFile(filepath.Join(dir, "dev"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read device number: %w", err)
		}
		n, err := parseNumber(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}
