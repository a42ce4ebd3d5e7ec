package udev

import (
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/zerodisc/zerodisc/internal/uevent"
)

// record is what is known of a device. It does not change once it is made.
type record struct {
	description
	event       uevent.Event // the newest
	id          string       // of its entry in the database
	answer      *Answer      // nil for what was not asked, or has not answered
	job         int          // the number of the job that made the record
	initialized int64        // when it was first known, microseconds of the monotonic clock
}

// node is the device's node below /dev, "" for none.
func (r *record) node() string { return r.event.DevName }

// claims are the links that a device has: its own, and for a block device the one by its number, which udev makes
// without listing it.
func (r *record) claims() []string {
	major, minor := r.event.Get("MAJOR"), r.event.Get("MINOR")
	if r.event.Subsystem != "block" || major == "" || strings.ContainsAny(major+minor, "/.") {
		return r.links
	}
	return append(slices.Clone(r.links), "block/"+major+":"+minor)
}

// records are the devices that there are, by their paths. Rules look up others from any goroutine; only the manager's
// changes them.
type records struct {
	mu   sync.Mutex
	path map[string]*record
}

func newRecords() *records { return &records{path: map[string]*record{}} }

func (r *records) get(devpath string) *record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.path[devpath]
}

func (r *records) put(rec *record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.path[rec.event.DevPath] = rec
}

func (r *records) remove(devpath string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.path, devpath)
}

// partitions returns the partitions of a disk.
func (r *records) partitions(disk string) []*record {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*record
	for _, rec := range r.path {
		if rec.event.DevType == "partition" && path.Dir(rec.event.DevPath) == disk {
			all = append(all, rec)
		}
	}
	return all
}

// arrays returns the arrays of Linux RAID.
func (r *records) arrays() []*record {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*record
	for _, rec := range r.path {
		if rec.event.DevType == "disk" && isArray(path.Base(rec.event.DevPath)) {
			all = append(all, rec)
		}
	}
	return all
}

// isMember says of a block device that it is a member of an array of Linux RAID.
func (r *record) isMember() bool {
	return r.answer != nil && r.answer.Content.Type == "linux_raid_member"
}

// member returns one of the named block devices that is a member of an array.
func (r *records) member(names []string) *record {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rec := range r.path {
		if rec.isMember() && slices.Contains(names, path.Base(rec.event.DevPath)) {
			return rec
		}
	}
	return nil
}

// DeviceID is the name of a device's entry in udev's database, "" where it can have none: by number for what has a
// node or is a network interface, else by subsystem and name. Get returns the kernel's variables.
func DeviceID(devpath, subsystem string, get func(key string) string) string {
	major, minor := get("MAJOR"), get("MINOR")
	id := "+" + subsystem + ":" + path.Base(devpath)
	switch {
	case major != "" && minor != "" && subsystem == "block":
		id = "b" + major + ":" + minor
	case major != "" && minor != "":
		id = "c" + major + ":" + minor
	case get("IFINDEX") != "":
		id = "n" + get("IFINDEX")
	}
	if strings.ContainsAny(id, "/\x00") || len(id) > 255 {
		return ""
	}
	return id
}

func deviceID(e uevent.Event) string { return DeviceID(e.DevPath, e.Subsystem, e.Get) }
