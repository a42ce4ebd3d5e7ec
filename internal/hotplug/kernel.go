package hotplug

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
)

// lockPath serialises the applets. The file stays: removing it would let two holders in.
const lockPath = boot.RunDir + "/hotplug.lock"

// lockFile takes the applets' lock and waits for it as long as it takes; libxl's own timeout ends
// the waiting.
func lockFile() (func(), error) {
	if err := os.MkdirAll(filepath.Dir(lockPath), 0o755); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	file, err := os.OpenFile(lockPath, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", lockPath, err)
	}
	return func() { file.Close() }, nil
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
		m.Number = Number{unix.Major(uint64(stat.Rdev)), unix.Minor(uint64(stat.Rdev))}
	default:
		return Medium{}, fmt.Errorf("disk %s is neither a block device nor a file", resolved)
	}
	return m, nil
}

func (kernelDisks) Mounts() ([]Mount, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	defer file.Close()
	return parseMountInfo(file)
}

func (kernelDisks) Relatives(n Number) ([]Number, error) {
	return relatives("/sys", n)
}

// relatives reads /sys/dev/block/MAJOR:MINOR, a link to the device's directory: a partition has
// a file "partition" there and its disk one level up, a disk has its partitions' directories inside.
func relatives(sys string, n Number) ([]Number, error) {
	link := filepath.Join(sys, "dev/block", fmt.Sprintf("%d:%d", n.Major, n.Minor))
	dir, err := filepath.EvalSymlinks(link)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a device without sysfs entry has no partitions
	}
	if err != nil {
		return nil, fmt.Errorf("partitions of device %d:%d: %w", n.Major, n.Minor, err)
	}
	if exists(filepath.Join(dir, "partition")) {
		return readNumbers([]string{filepath.Join(filepath.Dir(dir), "dev")})
	}
	partitions, err := filepath.Glob(filepath.Join(dir, "*", "partition"))
	if err != nil {
		return nil, err
	}
	for i := range partitions {
		partitions[i] = filepath.Join(filepath.Dir(partitions[i]), "dev")
	}
	return readNumbers(partitions)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func readNumbers(files []string) ([]Number, error) {
	var numbers []Number
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read device number: %w", err)
		}
		n, err := parseNumber(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}
