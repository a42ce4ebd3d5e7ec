// Package disks lists a machine's disks and partitions.
package disks

import (
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// Device is a disk, or a partition of one.
type Device struct {
	Name      string // "sda", "sda1": below /dev
	Bytes     int64  // its size; of an optical drive that of the disc in it
	Model     string // of a disk; may be empty
	Partition bool
	Label     string // of a partition, from a GUID partition table; may be empty
}

// List lists the disks in the tree of /sys, in the order of their names, each followed by its
// partitions. A disk that goes away meanwhile is left out.
func List(sys fs.FS) ([]Device, error) {
	disks, err := fs.ReadDir(sys, "block")
	if err != nil {
		return nil, err
	}
	var devices []Device
	for _, disk := range disks {
		name := disk.Name()
		if k := KindOf(name); k == Combined || k == Part || k == Virtual {
			continue // it stands for nothing that a person has plugged in
		}
		dir := path.Join("block", name)
		model := printable.Line(read(sys, dir, "device/model"))
		devices = append(devices, Device{Name: name, Bytes: size(sys, dir), Model: model})
		devices = append(devices, partitions(sys, dir)...)
	}
	return devices, nil
}

// partitions lists the partitions of the disk whose directory in sysfs is dir, by their numbers.
func partitions(sys fs.FS, dir string) []Device {
	entries, err := fs.ReadDir(sys, dir)
	if err != nil {
		return nil
	}
	numbers := map[string]int{}
	var devices []Device
	for _, entry := range entries {
		at := path.Join(dir, entry.Name())
		number, err := strconv.Atoi(read(sys, at, "partition"))
		if err != nil {
			continue
		}
		numbers[entry.Name()] = number
		label := label(read(sys, at, "uevent"))
		devices = append(devices, Device{Name: entry.Name(), Bytes: size(sys, at), Partition: true, Label: label})
	}
	slices.SortFunc(devices, func(a, b Device) int { return numbers[a.Name] - numbers[b.Name] })
	return devices
}

// size reads a size, which sysfs gives in units of 512 bytes whatever the disk's own sectors are.
func size(sys fs.FS, dir string) int64 {
	sectors, err := strconv.ParseInt(read(sys, dir, "size"), 10, 54)
	if err != nil {
		return 0
	}
	return sectors * 512
}

// label finds a partition's name in its uevent file.
func label(uevent string) string {
	for line := range strings.Lines(uevent) {
		if name, ok := strings.CutPrefix(line, "PARTNAME="); ok {
			return printable.Line(strings.TrimSpace(name))
		}
	}
	return ""
}

// MountPoints maps the sources of /proc/mounts (proc(5)) to the places where they are mounted.
func MountPoints(mounts string) map[string]string {
	points := map[string]string{}
	for line := range strings.Lines(mounts) {
		if fields := strings.Fields(line); len(fields) > 1 {
			points[fields[0]] = fields[1]
		}
	}
	return points
}

// read returns a file's text without the white space around it, "" if it cannot be read.
func read(sys fs.FS, dir, name string) string {
	text, _ := fs.ReadFile(sys, path.Join(dir, name))
	return strings.TrimSpace(string(text))
}
