package volumes

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/devmapper"
	"github.com/zerodisc/zerodisc/internal/md"
)

// A process that has crashed leaves tables and arrays, with the loop devices below them, and guests go on using them.
// The one that follows knows them by their names. It takes over what is described as what it would have made itself, by
// the disks below the loop devices.

var errOther = errors.New("a device of that name is there since before init has crashed, and it is another one; " +
	"reboot the host to have it made anew")

// adopt takes over the device that v is to be, if that is there already.
func (a *Assembler) adopt(v *active) (adopted bool, err error) {
	if !a.config.Adopt {
		return false, nil
	}
	left := a.kernel.leftTable
	if v.array != nil {
		left = a.kernel.leftArray
	}
	device, is, err := left(v.name)
	if device == "" || err != nil {
		return false, err
	}
	paths, err := a.resolve(v, func(m *member, _ md.Slot) (string, error) { return m.device, nil })
	if err != nil {
		return false, err
	}
	want := describeTable(v.uuid, v.targets(paths))
	if v.array != nil {
		want = describeArray(fmt.Sprint("raid", int(v.array.Level)), fmt.Sprint(v.array.Disks), paths)
	}
	if is != want {
		return false, errOther
	}
	v.device = device
	a.active = append(a.active, v)
	return true, nil
}

func describeTable(uuid string, targets []devmapper.Target) string {
	lines := []string{uuid}
	for _, t := range targets {
		lines = append(lines, fmt.Sprint(t.Start, " ", t.Length, " ", t.Type, " ", t.Params))
	}
	return strings.Join(lines, "; ")
}

func describeArray(level, disks string, members []string) string {
	return level + " of " + disks + ": " + strings.Join(members, " ")
}

// deviceNumber is how the kernel writes a device in a table.
var deviceNumber = regexp.MustCompile(`\b\d+:\d+\b`)

func (linux) leftTable(name string) (device, description string, err error) {
	device, err = devmapper.Path(name)
	if errors.Is(err, unix.ENXIO) {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	targets, err := devmapper.Table(name)
	for i, t := range targets {
		targets[i].Params = deviceNumber.ReplaceAllStringFunc(t.Params, func(number string) string {
			return below(filepath.Join("/sys/dev/block", number))
		})
	}
	uuid, _ := os.ReadFile(filepath.Join("/sys/block", filepath.Base(device), "dm/uuid"))
	return device, describeTable(strings.TrimSpace(string(uuid)), targets), err
}

func (linux) leftArray(name string) (device, description string, err error) {
	dir := filepath.Join("/sys/block", name, "md")
	level, err := os.ReadFile(filepath.Join(dir, "level"))
	if errors.Is(err, os.ErrNotExist) {
		return "", "", nil
	}
	disks, err2 := os.ReadFile(filepath.Join(dir, "raid_disks"))
	if err := errors.Join(err, err2); err != nil {
		return "", "", fmt.Errorf("left RAID array: %w", err)
	}
	var members []string
	var count int
	_, _ = fmt.Sscan(string(disks), &count)
	for i := range count {
		member := filepath.Join(dir, fmt.Sprint("rd", i), "block")
		if _, err := os.Stat(member); err != nil {
			members = append(members, "") // it is missing
			continue
		}
		members = append(members, below(member))
	}
	return "/dev/" + name, describeArray(strings.TrimSpace(string(level)), fmt.Sprint(count), members), nil
}

// below is the device with a directory in sysfs, or what is below it if it is a loop device.
func below(dir string) string {
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved
	}
	if file, err := os.ReadFile(filepath.Join(dir, "loop/backing_file")); err == nil {
		return strings.TrimSpace(string(file))
	}
	return "/dev/" + filepath.Base(dir)
}
