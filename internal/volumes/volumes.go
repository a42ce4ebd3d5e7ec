// Package volumes assembles LVM's logical volumes and Linux's software RAID of the disks that are there, for reading
// only. Nothing of it writes: disks are only reached through loop devices that refuse writes by themselves.
package volumes

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zerodisc/zerodisc/internal/lvm"
	"github.com/zerodisc/zerodisc/internal/md"
	"github.com/zerodisc/zerodisc/internal/printable"
)

// Config says what an Assembler works with. Run calls the functions, one at a time.
type Config struct {
	Load    func(module string) error // has the kernel load a module
	Lost    func(device string)       // an assembled device has lost its disks: whoever can is to let go of it
	Problem func(sentence string)     // printable; each once, for as long as it lasts
	// Adopt has devices taken over that another process has assembled and left, where they are what is wanted.
	Adopt bool
}

// patience is how long nothing new must have come before what is incomplete is taken as it is. A disk that lags
// behind may be the one that knows that the others are out of date.
const patience = 5 * time.Second

// Times between two looks whether what has lost its disks is still in use; they grow.
const busyPause, maxBusyPause = time.Second, time.Minute

// Limits: each device costs the kernel some 100 KB, and metadata are kept in memory.
const (
	maxMembers  = 256
	maxActive   = 256
	maxMetadata = 32 << 20 // bytes of text, which takes several times as much
	maxHeight   = 2        // arrays made of arrays
)

// Assembler keeps what is assembled in step with the disks that come and go. All but its inbox belongs to the
// goroutine in Run.
type Assembler struct {
	config Config
	kernel kernel
	now    func() time.Time
	after  func(time.Duration, func()) // calls a function later, in Run

	members []*member     // in the order in which they came
	active  []*active     // in the order in which they were made
	changed time.Time     // when a member came last
	due     time.Time     // when a look is, if one is
	busy    time.Duration // until the next look at what is in use
	loaded  map[string]bool
	refused map[string]string // devices that are left alone, and why
	told    map[string]bool   // problems

	inbox inbox
}

// New returns an assembler that has seen no disks.
func New(config Config) *Assembler {
	a := newAssembler(config, linux{})
	a.after = func(d time.Duration, f func()) { time.AfterFunc(d, func() { a.inbox.put(f) }) }
	return a
}

func newAssembler(config Config, k kernel) *Assembler {
	return &Assembler{
		config: config, kernel: k, now: time.Now, loaded: map[string]bool{}, refused: map[string]string{},
		told: map[string]bool{}, busy: busyPause, inbox: inbox{full: make(chan struct{}, 1)},
	}
}

// Run assembles until ctx ends. A disk that does not answer holds up what is made of others, and nothing else.
func (a *Assembler) Run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-a.inbox.full:
			for _, do := range a.inbox.take() {
				do()
			}
		case <-ctx.Done():
		}
	}
}

// Found takes in a block device that has come or changed; it waits for nothing. content is what it holds, as
// blkid(8) calls it: of interest are LVM2_member and those ending in _raid_member.
func (a *Assembler) Found(device, content string) { a.inbox.put(func() { a.found(device, content) }) }

// Gone takes a device out that has left; it waits for nothing. What cannot do without it is taken down, once
// nobody uses it.
func (a *Assembler) Gone(device string) { a.inbox.put(func() { a.gone(device) }) }

// inbox has what is to be done. Whoever puts something into it must never wait.
type inbox struct {
	full chan struct{}
	mu   sync.Mutex
	todo []func()
}

func (i *inbox) put(do func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.todo = append(i.todo, do)
	select {
	case i.full <- struct{}{}:
	default:
	}
}

func (i *inbox) take() []func() {
	i.mu.Lock()
	defer i.mu.Unlock()
	todo := i.todo
	i.todo = nil
	return todo
}

func (a *Assembler) found(device, content string) {
	a.busy = busyPause
	if !relevant(content) {
		a.gone(device)
		return
	}
	owned, why := a.place(device)
	var m *member
	if why == "" {
		m, why = readMember(a.kernel, device, content, owned)
	}
	if m != nil && m.raid != nil && a.isMadeOf(a.owner(device), m.raid) {
		m.close()
		m, why = nil, "it says that it is a part of an array that it is made of"
	}
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

// place says whether a device is one of the assembled ones, and why others must not be made of it.
func (a *Assembler) place(device string) (owned bool, why string) {
	v := a.owner(device)
	switch {
	case v == nil:
		return false, ""
	case lvm.IsVolume(v.uuid):
		return true, "it is in the logical volume " + v.title + ", so it is a guest's own business"
	case v.height >= maxHeight:
		return true, "too many arrays are made of each other"
	}
	return true, ""
}

// isMadeOf says whether a device is made, whatever lies between, of a member of the same array.
func (a *Assembler) isMadeOf(v *active, raid *md.Member) bool {
	return v != nil && slices.ContainsFunc(v.from, func(m *member) bool {
		return m != nil && (m.raid != nil && m.raid.Array == raid.Array || a.isMadeOf(a.owner(m.device), raid))
	})
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

func (a *Assembler) gone(device string) {
	a.busy = busyPause
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

// member returns the member on a device.
func (a *Assembler) member(device string) *member {
	for _, m := range a.members {
		if m.device == device {
			return m
		}
	}
	return nil
}
