package statevolume

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/internal/sysfs"
	"github.com/zerodisc/zerodisc/internal/udev"
)

// Lookup returns what a device holds by udev's database, which is in the directory run; sys is /sys. It reads no
// disk, and takes few system calls: there may be a thousand partitions.
func Lookup(run, sys, device string) Volume {
	number, err := sysfs.FS(sys).ReadFile(path.Join("class/block", filepath.Base(device), "dev"))
	if err != nil {
		return Volume{}
	}
	return entry(run, strings.TrimSpace(string(number)))
}

// entry is what the database has of a block device by its number.
func entry(run, number string) Volume {
	text, err := sysfs.FS(run).ReadFile(path.Join("data", "b"+number))
	if err != nil {
		return Volume{}
	}
	p := udev.ParseEntry(string(text)).Properties
	return Volume{Label: p.Get("ID_FS_LABEL"), Type: p.Get("ID_FS_TYPE"), UUID: p.Get("ID_FS_UUID")}
}

// Known returns the devices that may have to do with a state volume, as udev's database has it: whatever holds
// something that has a name. accept says of a device's name whether it counts: a loop device, say, shows what another
// device holds. Partitions that have time (udev.Later) are not there yet, and come as events.
func Known(run, sys string, accept func(name string) bool) ([]Event, error) {
	entries, err := os.ReadDir(filepath.Join(run, "data"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var found []Event
	for _, e := range entries {
		number, isBlock := strings.CutPrefix(e.Name(), "b")
		if !isBlock {
			continue
		}
		v := entry(run, number)
		if v.Label == "" && v.UUID == "" {
			continue
		}
		at, err := os.Readlink(filepath.Join(sys, "dev/block", number))
		if name := filepath.Base(at); err == nil && accept(name) {
			found = append(found, Event{Device: "/dev/" + name, Volume: v})
		}
	}
	slices.SortFunc(found, func(a, b Event) int { return strings.Compare(a.Device, b.Device) })
	return found, nil
}
