// Package storage follows the machine's disks for as long as it runs: it mounts each file system that it finds, for
// reading only, and looks for guests in it. Disks of volume groups and arrays go to whoever assembles those. What comes
// later, a USB stick say, is treated as what was there at the boot; what goes away is let go of.
//
// Nothing is written to any disk: file systems are mounted through read-only loop devices, with the options of package
// readonly. What disks hold may be damaged or made to harm, and a dying disk may not answer for minutes: each device is
// looked at in a goroutine of its own, which nobody waits for.
package storage

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/blkid"
	"github.com/zerodisc/zerodisc/internal/guarded"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/readonly"
)

// labelPrefix begins the label of a volume whose guests start by themselves: whoever gave it that label vouches for
// them.
const labelPrefix = "ZERODISC-"

// Event is a change of a block device.
type Event struct {
	Device string // "/dev/sdb1"
	Gone   bool   // it was taken away; else it came, or what it holds may have changed
}

// Kernel is what is done to dom0's kernel.
type Kernel interface {
	Identify(device string) (blkid.Content, error)
	// Mount mounts a file system for reading only, such that its device is never written to.
	Mount(device, dir string, how readonly.Mount) error
	// Unmount takes a mount away; what is in use in it stays until it is not.
	Unmount(dir string) error
	// Mounted says whether there is a file system at dir still: a person may unmount it.
	Mounted(dir string) bool
	// Card is a number that is another one when the card or disc that a partition is on was changed, or taken out; ""
	// of what is no partition.
	Card(partition string) string
	// Rescan has the kernel look for the partitions of that card anew. It may take seconds.
	Rescan(partition string)
}

// Assembler makes block devices of disks that are parts of something, a volume group or an array. Nothing is waited
// for; what was made comes as a device of its own.
type Assembler interface {
	// Found is told of every device, and what it holds as blkid(8) calls it.
	Found(device, content string)
	Gone(device string)
}

// Config is what a Manager works with. All fields but Left are to be set.
type Config struct {
	Kernel    Kernel
	Assembler Assembler
	// Dir is where file systems are mounted, each in a directory by its label or UUID.
	Dir string
	// Skip says of a device with that content that it is left alone: it is the boot medium, say.
	Skip func(device string, content blkid.Content) bool
	// Turn is closed when file systems may be mounted; before that disks are only asked what they hold. A boot is
	// faster when it has the processors for itself.
	Turn <-chan struct{}
	// Left are volumes that are mounted since before a crash of init; of those that still are nothing is told.
	Left []host.Volume
	// Start starts guests. Other guests than those of labelled volumes are started where StartAll is set; else they are
	// only Found. Of those that could not be read Refuse tells, with the root and the trust of guests.Guest.
	Start    func(ctx context.Context, found []*guests.Guest)
	Found    func(found []*guests.Guest)
	Refuse   func(fault *guests.Error, root string, trusted bool)
	StartAll bool
	// Uses lists the guests that use a file below dir or a block device.
	Uses func(dir, device string) []string
	Tell func(host.Fact)
	Log  *slog.Logger
}

// Limits. A disk may have a thousand partitions, and each mount takes memory.
const (
	maxLooks  = 8  // devices that are looked at at a time, without those that do not answer
	maxMounts = 32 // file systems without guests that stay mounted
	maxStores = 64 // file systems with guests, and of one disk:
	ofOneDisk = 16
	patience  = 20 * time.Second
)

// Manager follows disks. Its state belongs to the goroutine in Run.
type Manager struct {
	Config
	volumes map[string]*volume // by device
	queue   queue              // devices to look at
	looking int
	parked  map[string]bool // devices with file systems, until it is their turn
	mounted map[class]int   // volumes
	full    map[class]bool  // it was told that there are too many
	answers chan answer
	late    chan answer // without what was found
}

// volume is what is known of a device.
type volume struct {
	host.Volume
	card    string // as Kernel.Card says
	look    *look  // under way, nil when there is none
	gone    bool   // it went away while it was looked at
	changed bool   // it changed while it was looked at
}

// class is volumes that are counted together: those with guests, or those without. disk is "" for those of all disks.
type class struct {
	disk   string
	guests bool
}

func (v *volume) classes() [2]class {
	return [2]class{{"", len(v.Guests) > 0}, {diskName(v.Device), len(v.Guests) > 0}}
}

// look is one look at a device.
type look struct{ silent bool }

// answer is what came of a look.
type answer struct {
	volume *volume
	look   *look
	found  found // of a device that is not mounted
	other  bool  // of one that is: it holds something else now
}

// New returns a Manager.
func New(config Config) *Manager {
	m := &Manager{
		Config: config, volumes: map[string]*volume{}, mounted: map[class]int{}, full: map[class]bool{},
		parked:  map[string]bool{},
		answers: make(chan answer), late: make(chan answer),
	}
	for _, left := range m.Left {
		if m.Kernel.Mounted(left.Mount) {
			v := &volume{Volume: left, card: m.Kernel.Card(left.Device)}
			m.volumes[v.Device] = v
			m.count(v, 1)
		}
	}
	return m
}

// Run follows events until ctx ends.
func (m *Manager) Run(ctx context.Context, events <-chan Event) {
	turn := m.Turn
	for ctx.Err() == nil {
		select {
		case <-turn:
			turn = nil
			for _, device := range slices.Sorted(maps.Keys(m.parked)) {
				m.queue.put(device)
			}
			m.parked = nil
		case e, ok := <-events:
			if !ok {
				return
			}
			m.event(e)
		case a := <-m.answers:
			m.answer(ctx, a)
		case a := <-m.late:
			m.isLate(a)
		case <-ctx.Done():
		}
		m.dispatch(ctx)
	}
}

// event takes in a change of a device.
func (m *Manager) event(e Event) {
	v := m.volumes[e.Device]
	switch {
	case e.Gone && v != nil:
		m.gone(v)
	case e.Gone:
	case v == nil:
		m.volumes[e.Device] = &volume{Volume: host.Volume{Device: e.Device}}
		m.queue.put(e.Device)
	case v.look != nil:
		v.changed = true
	case v.Mount != "" && m.Kernel.Mounted(v.Mount):
		m.queue.put(e.Device) // a drive or a card reader may have another disc
	default: // another disc in the drive, or a partition that was made anew
		m.forget(v)
		m.queue.put(e.Device)
	}
}

// gone lets go of a device.
func (m *Manager) gone(v *volume) {
	delete(m.volumes, v.Device)
	v.gone = true
	m.Assembler.Gone(v.Device)
	if v.isTold() {
		m.Tell(host.VolumeGone{Device: v.Device, Mount: v.Mount, Guests: m.Uses(v.Mount, v.Device)})
	}
	if v.Mount != "" {
		m.leave(v)
	}
}

// isTold says whether there was anything to tell of a volume.
func (v *volume) isTold() bool { return v.Type != "" || v.Problem != "" }

// forget forgets the mount of a volume that somebody else has unmounted.
func (m *Manager) forget(v *volume) {
	if v.Mount != "" {
		_ = removeDir(v.Mount) // whoever has unmounted it may have done that too
		m.count(v, -1)
	}
	v.Mount, v.Guests = "", nil
}

// leave unmounts a volume.
func (m *Manager) leave(v *volume) {
	m.count(v, -1)
	if err := m.Kernel.Unmount(v.Mount); err != nil {
		m.Log.Debug("storage", "device", v.Device, "err", err)
	}
}

// count keeps count of what is mounted.
func (m *Manager) count(v *volume, by int) {
	for _, c := range v.classes() {
		if m.mounted[c] += by; by < 0 {
			delete(m.full, c)
		}
	}
}

// admit counts a volume that was mounted, or unmounts it where there are too many, and says whether to tell of it: of
// those of a disk that are too many only the first is told of.
func (m *Manager) admit(v *volume) (told bool) {
	m.count(v, 1)
	all, disk := v.classes()[0], v.classes()[1]
	most, kind := maxMounts, "without guests"
	if all.guests {
		most, kind = maxStores, "with guests"
	}
	problem := ""
	switch {
	case all.guests && m.mounted[disk] > ofOneDisk:
		problem = fmt.Sprintf("%d file systems %s of this disk are mounted already", ofOneDisk, kind)
	case m.mounted[all] > most:
		problem = fmt.Sprintf("%d file systems %s are mounted already", most, kind)
	default:
		return true
	}
	told = !m.full[disk]
	m.leave(v)
	m.full[disk] = true
	v.Mount, v.Guests = "", nil
	v.Problem = join(v.Problem, problem+": this one and the rest of its disk are not")
	return told
}

// dispatch looks at devices that wait for it.
func (m *Manager) dispatch(ctx context.Context) {
	for m.looking < maxLooks {
		device := m.queue.next()
		if device == "" {
			return
		}
		v := m.volumes[device]
		if v == nil || v.look != nil {
			continue
		}
		v.look, v.changed = &look{}, false
		m.looking++
		a, known := answer{volume: v, look: v.look}, found{Volume: v.Volume, card: v.card}
		guarded.Go(ctx, func() { m.lookAt(ctx, a, known) })
	}
}

// lookAt looks at a device of which so much is known, and answers.
func (m *Manager) lookAt(ctx context.Context, a answer, known found) {
	timer := time.AfterFunc(patience, func() {
		select {
		case m.late <- a:
		case <-ctx.Done():
		}
	})
	defer timer.Stop()
	if known.Mount != "" {
		a.other = m.isOther(known)
	} else {
		card := m.Kernel.Card(known.Device)
		a.found = m.find(host.Volume{Device: known.Device})
		a.found.card = card
	}
	select {
	case m.answers <- a:
	case <-ctx.Done():
	}
}

// isLate says that a device does not answer.
func (m *Manager) isLate(a answer) {
	v := a.volume
	if v.look != a.look {
		return // it has answered meanwhile
	}
	v.look.silent = true
	m.looking--
	if v.gone || v.Mount != "" {
		return
	}
	v.Problem = "it does not answer; a dying disk?"
	m.Tell(v.Volume)
}

// answer takes in what came of a look.
func (m *Manager) answer(ctx context.Context, a answer) {
	v := a.volume
	if !v.look.silent {
		m.looking--
	}
	v.look = nil
	if v.Mount != "" {
		m.checked(v, a.other)
		return
	}
	if a.found.parked && !v.gone {
		m.park(v.Device)
		return
	}
	was := v.isTold()
	v.Volume, v.card = a.found.Volume, a.found.card
	told := v.isTold()
	switch {
	case v.gone:
		if v.Mount != "" {
			_ = m.Kernel.Unmount(v.Mount)
		}
		return
	case v.Mount != "":
		told = m.admit(v)
	}
	switch {
	case told:
		m.Tell(v.Volume)
	case was && !v.isTold(): // a disc was taken out, or somebody has made something else of it
		m.Tell(host.VolumeGone{Device: v.Device})
	}
	m.Assembler.Found(v.Device, v.Type)
	if v.Mount != "" {
		m.offer(ctx, v, a.found)
	}
	if v.changed {
		m.event(Event{Device: v.Device})
	}
}

// checked takes in whether what is mounted is another volume by now.
func (m *Manager) checked(v *volume, other bool) {
	switch {
	case v.gone:
	case other && v.card != "": // its partitions are of the card that was there before
		m.gone(v)
		go m.Kernel.Rescan(v.Device)
	case other:
		m.gone(v)
		m.event(Event{Device: v.Device})
	case v.changed:
		m.event(Event{Device: v.Device})
	}
}

// park keeps a device until file systems may be mounted.
func (m *Manager) park(device string) {
	m.Assembler.Found(device, "")
	if m.isTurn() {
		m.queue.put(device)
		return
	}
	m.parked[device] = true
}

// isTurn says whether file systems may be mounted.
func (m *Manager) isTurn() bool {
	select {
	case <-m.Turn:
		return true
	default:
		return false
	}
}

// offer hands a volume's guests to whoever starts them.
func (m *Manager) offer(ctx context.Context, v *volume, f found) {
	if !v.Trusted && !m.StartAll {
		m.Found(f.guests)
		return
	}
	for _, err := range f.faults {
		m.Refuse(err, v.Mount, v.Trusted)
	}
	if v.Trusted {
		guests.Trust(f.guests)
	}
	if len(f.guests) > 0 {
		guarded.Go(ctx, func() { m.Start(ctx, f.guests) })
	}
}
