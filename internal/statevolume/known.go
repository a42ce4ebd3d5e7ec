package statevolume

import (
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
	text, err := sysfs.FS(run).ReadFile(path.Join("data", "b"+strings.TrimSpace(string(number))))
	if err != nil {
		return Volume{}
	}
	p := udev.ParseEntry(string(text)).Properties
	return Volume{Label: p.Get("ID_FS_LABEL"), Type: p.Get("ID_FS_TYPE"), UUID: p.Get("ID_FS_UUID")}
}

// Known returns the devices that may have to do with a state volume, as Lookup has it: whatever holds something that
// has a name. accept says of a device's name whether it counts: a loop device, say, shows what another device holds.
func Known(run, sys string, accept func(name string) bool) ([]Event, error) {
	entries, err := os.ReadDir(filepath.Join(sys, "class/block"))
	if err != nil {
		return nil, err
	}
	var found []Event
	for _, e := range entries {
		if !accept(e.Name()) {
			continue
		}
		device := "/dev/" + e.Name()
		if v := Lookup(run, sys, device); v.Label != "" || v.UUID != "" {
			found = append(found, Event{Device: device, Volume: v})
		}
	}
	slices.SortFunc(found, func(a, b Event) int { return strings.Compare(a.Device, b.Device) })
	return found, nil
}
