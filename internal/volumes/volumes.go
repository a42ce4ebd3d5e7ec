// Package volumes assembles LVM's logical volumes and Linux's software RAID of the disks that are there, for reading
// only. Nothing of it writes: disks are only reached through loop devices that refuse writes by themselves.
package volumes

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// Volume is a block device that was assembled.
type Volume struct {
	Device  string   // "/dev/dm-3", "/dev/md_home"
	Title   string   // for people: "vg/lv", which /dev has as well; "md_home"
	Members []string // the devices that its bytes are on, as Found was told
}

// Config says what an Assembler works with. The functions are called one at a time, and must not wait for the
// Assembler.
type Config struct {
	Load    func(module string) error // has the kernel load a module
	Came    func(Volume)
	Left    func(Volume)
	Problem func(sentence string) // printable; each once, for as long as it lasts
}

// patience is how long nothing new must have come before what is incomplete is taken as it is. A disk that lags
// behind may be the one that knows that the others are out of date.
const patience = 5 * time.Second

// busyPause is the time between two looks whether what has lost its disks is still in use.
const busyPause = 2 * time.Second

// Limits: each device costs the kernel some 100 KB, and metadata are kept in memory.
const (
	maxMembers  = 256
	maxActive   = 256
	maxMetadata = 32 << 20 // bytes of text, which takes several times as much
	maxHeight   = 2        // arrays made of arrays
)

// Assembler keeps what is assembled in step with the disks that come and go.
type Assembler struct {
	config Config
	kernel kernel
	now    func() time.Time
	after  func(time.Duration, func()) // time.AfterFunc

	mu      sync.Mutex
	members []*member // in the order in which they came
	active  []*active // in the order in which they were made
	changed time.Time // when a member came last
	waking  bool      // a look is due
	loaded  map[string]bool
	refused map[string]string // devices that are left alone, and why
	told    map[string]bool   // problems
}

// New returns an assembler that has seen no disks.
func New(config Config) *Assembler {
	return newAssembler(config, linux{})
}

func newAssembler(config Config, k kernel) *Assembler {
	return &Assembler{
		config: config, kernel: k, now: time.Now,
		after:  func(d time.Duration, f func()) { time.AfterFunc(d, f) },
		loaded: map[string]bool{}, refused: map[string]string{}, told: map[string]bool{},
	}
}

// Found takes in a block device that has come or changed. content is what it holds, as blkid(8) calls it: of interest
// are LVM2_member and those ending in _raid_member. It reads the device, so it may take as long as that does.
func (a *Assembler) Found(device, content string) {
	if !relevant(content) {
		a.Gone(device)
		return
	}
	owned, internal, why := a.place(device)
	if internal {
		return
	}
	var m *member
	if why == "" {
		m, why = readMember(a.kernel, device, content, owned)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.refused, device)
	if old := a.member(device); old != nil && m != nil && old.same(m) {
		m.close()
	} else {
		a.drop(device)
		why = a.take(m, why)
		a.changed = a.now()
	}
	if why != "" {
		a.refused[device] = printable.Line(device) + consequence(a.member(device)) + why
	}
	a.reconcile()
}

func consequence(m *member) string {
	if m == nil {
		return " is left alone: "
	}
	return ": "
}

// sentence writes an error, which may be several, on one line.
func sentence(err error) string { return printable.Line(strings.ReplaceAll(err.Error(), "\n", "; ")) }

// relevant says whether a content is a part of something.
func relevant(content string) bool {
	return content == "LVM2_member" || strings.HasSuffix(content, "_raid_member")
}

// place says whether a device is one of the assembled ones, or only a part of those, and why others must not be made
// of it.
func (a *Assembler) place(device string) (owned, internal bool, why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	v := a.owner(device)
	switch {
	case a.internal(device):
		return true, true, ""
	case v == nil:
		return false, false, ""
	case strings.HasPrefix(v.uuid, "LVM-"):
		return true, false, "it is in the logical volume " + v.title + ", so it is a guest's own business"
	case v.height >= maxHeight:
		return true, false, "too many arrays are made of each other"
	}
	return true, false, ""
}

// take adds a member, unless there are too many.
func (a *Assembler) take(m *member, why string) string {
	if m == nil {
		return why
	}
	metadata := m.metadata()
	for _, other := range a.members {
		metadata += other.metadata()
	}
	if len(a.members) >= maxMembers || metadata > maxMetadata {
		m.close()
		return fmt.Sprintf("there are more than %d members of volumes, or more than %d MB of metadata",
			maxMembers, maxMetadata>>20)
	}
	a.members = append(a.members, m)
	return why
}

// Gone takes a device out that has left. What cannot do without it is taken down, once nobody uses it.
func (a *Assembler) Gone(device string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, known := a.refused[device]
	delete(a.refused, device)
	if a.drop(device) || known {
		a.reconcile()
	}
}

// drop forgets a member.
func (a *Assembler) drop(device string) bool {
	before := len(a.members)
	a.members = slices.DeleteFunc(a.members, func(m *member) bool {
		if m.device != device {
			return false
		}
		m.close()
		return true
	})
	return len(a.members) < before
}

// Internal says whether a block device is only a part of volumes, so that nobody should look into it: it may hold
// one copy of a file system, or the first stripe of it. It waits for what is being assembled.
func (a *Assembler) Internal(device string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.internal(device)
}

func (a *Assembler) internal(device string) bool {
	return slices.ContainsFunc(a.members, func(m *member) bool { return m.holds(device) }) ||
		slices.ContainsFunc(a.active, func(v *active) bool { return v.device == device && v.hidden })
}

// member returns the member on a device.
func (a *Assembler) member(device string) *member {
	for _, m := range a.members {
		if m.device == device {
			return m
		}
	}
	return nil
}
