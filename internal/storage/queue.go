package storage

import (
	"path/filepath"
	"strings"
)

// queue has the devices that wait to be looked at. Disks take turns, so that one with a thousand partitions holds up
// no other.
type queue struct {
	disks   []string            // in the order of their turns
	devices map[string][]string // by disk; of those in disks there is at least one
}

func (q *queue) put(device string) {
	disk := diskName(device)
	if q.devices == nil {
		q.devices = map[string][]string{}
	}
	if len(q.devices[disk]) == 0 {
		q.disks = append(q.disks, disk)
	}
	q.devices[disk] = append(q.devices[disk], device)
}

// next takes a device out of the queue, "" where there is none.
func (q *queue) next() string {
	if len(q.disks) == 0 {
		return ""
	}
	disk := q.disks[0]
	q.disks = q.disks[1:]
	device := q.devices[disk][0]
	if q.devices[disk] = q.devices[disk][1:]; len(q.devices[disk]) == 0 {
		delete(q.devices, disk)
	} else {
		q.disks = append(q.disks, disk)
	}
	return device
}

// diskName is what the names of a disk's partitions have in common: "sda" of "sda12", "nvme0n1" of "nvme0n1p3".
func diskName(device string) string {
	name := strings.TrimRight(filepath.Base(device), "0123456789")
	if disk, ok := strings.CutSuffix(name, "p"); ok && strings.TrimRight(disk, "0123456789") != disk {
		return disk
	}
	return name
}
