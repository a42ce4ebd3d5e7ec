// Package statevolume mounts the state volume: the one file system of the machine's disks that zerodisc writes to,
// because a person has made it for that. It is an ext4 file system with the label ZERODISC-STATE. What is there at
// the boot is mounted before guests start, what is plugged in later when it comes.
//
// It may be a file in another file system (package statefile). Only those are searched for it that the person has
// named, by a label that begins with ZERODISC- or by a kernel parameter.
//
// The kernel replays the journal when it mounts it. A file system that cannot be written to, or of which the kernel
// knows that it is damaged, is mounted for reading: what is on it can be saved, and the boot goes on.
package statevolume

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/devmapper"
	"github.com/zerodisc/zerodisc/internal/guarded"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/readonly"
	"github.com/zerodisc/zerodisc/internal/statefile"
	"github.com/zerodisc/zerodisc/internal/storage"
	"github.com/zerodisc/zerodisc/internal/tick"
)

// Volume is what a device holds, as udev's database has it.
type Volume struct {
	Label, Type, UUID string
	// File is the file in it that is the state volume, "" where it is one itself, and Inside is what tells that file
	// from another one.
	File, Inside string
}

// fileSystem is the type that a state volume has to have.
const fileSystem = "ext4"

// Event is a change of a block device.
type Event struct {
	Device string // "/dev/sdb1"
	Gone   bool   // it was taken away; else it came, or what it holds may have changed
	Volume
}

// Kernel is what is done to dom0's kernel.
type Kernel interface {
	// Inside looks for a state volume's file in the file system of that type on a device, and returns what tells it
	// from others; "" where there is none.
	Inside(device, kind string) (string, error)
	// Mount mounts the file system at dir and replays its journal, or mounts it for reading only and leaves the journal
	// alone.
	Mount(device string, v Volume, dir string, readOnly bool) error
	// Unmount takes a mount away; what is in use in it stays until it is not.
	Unmount(dir string) error
	// Look says how the file system at dir is. Where there is none the error is ErrNotMounted.
	Look(dir string) (Condition, error)
	// Progress is a number that changes while the device answers requests.
	Progress(device string) int64
}

// ErrNotMounted is Kernel.Look's where there is no file system.
var ErrNotMounted = errors.New("it is not mounted")

// Condition is how a mounted file system is.
type Condition struct {
	Bytes, Free int64
	ReadOnly    bool
	Errors      int // that the kernel has found in the file system and recorded there
}

// Config is what a Manager works with. All fields but UUID and Left are to be set.
type Config struct {
	Kernel Kernel
	// Dir is where the volume is mounted.
	Dir string
	// UUID is that of the volume to take, or of the file system with the file; "" for any.
	UUID string
	// Left is the volume that is mounted since before a crash of init; nobody waits for it.
	Left host.StateVolume
	// Load loads kernel modules. Where it fails, so does Kernel.Mount.
	Load func(modules ...string)
	// Uses lists the guests that have a disk on the volume.
	Uses func(device string) []string
	// Late is called when the volume was mounted after Wait had returned.
	Late func()
	Tell func(host.Fact)
	Log  *slog.Logger
}

// Who has heard of the first mount.
const (
	waiting  = iota
	answered // Wait gets it
	gaveUp   // Late gets it
)

// Manager has the state volume. Its state belongs to the goroutine in Run.
type Manager struct {
	Config
	volumes  map[string]Volume // those that are state volumes or have one's file, by device
	failed   map[string]bool   // devices that could not be mounted
	searches map[string]*search
	mounting string // the device
	mounted  host.StateVolume
	results  chan host.StateVolume
	searched chan *search
	late     chan *search

	who    atomic.Int32
	first  chan bool
	trying atomic.Value // a string: the device that Wait waits for
}

// New returns a Manager.
func New(config Config) *Manager {
	m := &Manager{
		Config: config, volumes: map[string]Volume{}, failed: map[string]bool{}, searches: map[string]*search{},
		mounted: config.Left,
		results: make(chan host.StateVolume, 1), first: make(chan bool, 1),
		searched: make(chan *search), late: make(chan *search),
	}
	if m.mounted.Device != "" {
		m.who.Store(answered)
	}
	return m
}

// lookPause is the time between two looks at the mounted volume.
const lookPause = 10 * time.Second

// Run takes the volume among those that are there, and then follows events until ctx ends.
func (m *Manager) Run(ctx context.Context, there []Event, events <-chan Event) {
	defer m.answer(false) // a boot waits for it
	for _, e := range there {
		m.event(ctx, e)
	}
	m.choose()
	var look <-chan time.Time
	for {
		if look == nil && m.mounted.Device != "" {
			look = tick.After(lookPause)
		}
		select {
		case e, ok := <-events:
			if !ok {
				return
			}
			m.event(ctx, e)
		case v := <-m.results:
			m.result(v)
		case s := <-m.searched:
			m.found(ctx, s)
		case s := <-m.late:
			s.late = true
		case <-look:
			look = nil
			m.look()
			continue
		case <-ctx.Done():
			return
		}
		m.choose()
	}
}

// patience is how long a boot waits for a volume that does not answer. While it answers, the kernel replays its
// journal, which may take long on a slow stick. Before that its driver is loaded, which no disk can hold up.
const (
	patience  = 5 * time.Second
	waitPause = 100 * time.Millisecond
)

// Wait waits until the volume is mounted, if there is one, and says whether it is.
func (m *Manager) Wait(ctx context.Context) bool {
	var progress int64
	since := time.Now()
	for time.Since(since) < patience && ctx.Err() == nil {
		select {
		case mounted := <-m.first:
			return mounted
		case <-ctx.Done():
		case <-time.After(waitPause):
		}
		device, mounting := m.trying.Load().(string)
		if now := m.Kernel.Progress(device); !mounting || now != progress {
			progress, since = now, time.Now()
		}
	}
	if m.who.CompareAndSwap(waiting, gaveUp) {
		return false
	}
	return <-m.first
}

// answer says what has come of the first volume.
func (m *Manager) answer(mounted bool) {
	switch {
	case m.who.CompareAndSwap(waiting, answered):
		m.first <- mounted
	case mounted:
		m.Late()
	}
}

// event takes in a change of a device.
func (m *Manager) event(ctx context.Context, e Event) {
	s := m.searches[e.Device]
	switch {
	case e.Gone || e.Label != boot.StateLabel && !m.mayHold(e.Volume):
		delete(m.volumes, e.Device)
		delete(m.failed, e.Device)
		delete(m.searches, e.Device)
		if e.Gone && m.mounted.Device == e.Device {
			m.lost()
		}
	case e.Label != boot.StateLabel && e.Device == m.mounted.Device:
		m.look()
	case e.Label != boot.StateLabel && s != nil:
		s.volume, s.again = e.Volume, true
	case e.Label != boot.StateLabel:
		m.search(ctx, e)
	default:
		if e.Device == m.mounted.Device {
			m.look()
		}
		m.put(e.Device, e.Volume)
	}
}

// mayHold says whether a volume is searched for the file.
func (m *Manager) mayHold(v Volume) bool {
	if !statefile.Holds(v.Type) {
		return false
	}
	if m.UUID != "" {
		return strings.EqualFold(v.UUID, m.UUID)
	}
	return storage.IsTrusted(v.Label)
}

// search is a search for the file in a file system.
type search struct {
	device string
	volume Volume
	again  bool // it has changed meanwhile
	late   bool // the device does not answer
	inside string
	err    error
}

// search looks for the file in a file system, in a goroutine that nobody waits for once the device is silent.
func (m *Manager) search(ctx context.Context, e Event) {
	s := &search{device: e.Device, volume: e.Volume}
	m.searches[e.Device] = s
	tell := func(c chan<- *search) {
		select {
		case c <- s:
		case <-ctx.Done():
		}
	}
	guarded.Go(ctx, func() {
		how, _ := readonly.Of(e.Type)
		m.Load(how.Driver)
		done := make(chan struct{})
		go func() {
			if m.isSilent(e.Device, done) {
				tell(m.late)
			}
		}()
		s.inside, s.err = m.Kernel.Inside(e.Device, e.Type)
		close(done)
		tell(m.searched)
	})
}

// isSilent returns true when a device has answered nothing for patience, and false when done is closed before.
func (m *Manager) isSilent(device string, done <-chan struct{}) bool {
	progress, since := m.Kernel.Progress(device), time.Now()
	for time.Since(since) < patience {
		select {
		case <-done:
			return false
		case <-time.After(waitPause):
		}
		if now := m.Kernel.Progress(device); now != progress {
			progress, since = now, time.Now()
		}
	}
	return true
}

// found takes in what has come of a search.
func (m *Manager) found(ctx context.Context, s *search) {
	if m.searches[s.device] != s {
		return // the device is gone
	}
	delete(m.searches, s.device)
	if s.err != nil { // package storage says so as well
		m.Log.Debug("state volume", "device", s.device, "err", s.err)
	}
	switch {
	case s.again:
		m.search(ctx, Event{Device: s.device, Volume: s.volume})
	case s.inside == "":
		delete(m.volumes, s.device)
	default:
		s.volume.File, s.volume.Inside = statefile.Name, s.inside
		m.put(s.device, s.volume)
	}
}

// put enters a volume.
func (m *Manager) put(device string, v Volume) {
	if old, known := m.volumes[device]; known && old != v {
		delete(m.failed, device) // it was made anew
	}
	m.volumes[device] = v
}

// searching says whether a file may yet be found.
func (m *Manager) searching() bool {
	for _, s := range m.searches {
		if !s.late {
			return true
		}
	}
	return false
}

// lost lets go of the mounted volume, which was taken away.
func (m *Manager) lost() {
	device, file := m.mounted.Device, m.mounted.File
	m.mounted = host.StateVolume{}
	users := m.Uses(device)
	if err := m.Kernel.Unmount(m.Dir); err != nil {
		m.Log.Debug("state volume", "err", err)
	}
	lost := host.StateVolume{Device: device, File: file, Guests: users, Problem: "it was taken away"}
	lost.Remedy = "plug it in again"
	if len(users) > 0 {
		lost.Remedy = "their disks on it are gone; end them, put it back and start them again"
	}
	m.Tell(lost)
}

// choose mounts the volume where it is clear which one it is. A volume goes before a file.
func (m *Manager) choose() {
	if m.mounting != "" || m.mounted.Device != "" {
		return
	}
	devices := m.candidates(false)
	if len(devices) == 0 && m.searching() {
		return
	}
	if len(devices) == 0 {
		devices = m.candidates(true)
	}
	switch {
	case len(devices) > 1:
		m.Tell(host.StateVolume{
			Problem: m.tooMany(devices),
			Remedy:  "unplug the others, or name the right one with " + boot.KeyState + "=UUID",
		})
	case len(devices) == 0 && len(m.volumes) > 0:
		m.Tell(host.StateVolume{
			Problem: fmt.Sprintf("no volume with the label %s has the UUID %s", boot.StateLabel, m.UUID),
			Remedy:  "correct " + boot.KeyState + ", or plug the volume in",
		})
	case len(devices) == 1 && !m.failed[devices[0]]:
		m.begin(devices[0])
	}
	if m.mounting == "" {
		m.answer(false)
	}
}

// tooMany says that one device is as good as another.
func (m *Manager) tooMany(devices []string) string {
	what := "volumes with the label " + boot.StateLabel
	if file := m.volumes[devices[0]].File; file != "" {
		what = "files " + file
	}
	return fmt.Sprintf("there are %d %s: %s; none of them is used", len(devices), what, strings.Join(devices, ", "))
}

// candidates lists the devices that are state volumes, or those that have one's file.
func (m *Manager) candidates(files bool) []string {
	var devices []string
	for _, device := range slices.Sorted(maps.Keys(m.volumes)) {
		v := m.volumes[device]
		if (v.File != "") == files && (m.UUID == "" || strings.EqualFold(v.UUID, m.UUID)) {
			devices = append(devices, device)
		}
	}
	return devices
}

// begin begins to mount a volume.
func (m *Manager) begin(device string) {
	volume := m.volumes[device]
	v := host.StateVolume{Device: device, File: volume.File, UUID: volume.UUID}
	if kind := volume.Type; kind != fileSystem && volume.File == "" {
		m.failed[device] = true
		v.Problem = fmt.Sprintf("it holds %s and not %s", kind, fileSystem)
		v.Remedy = "zerodisc-state create " + device + " makes it anew; what is on it is lost"
		m.Tell(v)
		return
	}
	m.mounting = device
	modules := []string{fileSystem}
	if v.File != "" {
		modules = append(modules, devmapper.Module)
	}
	go func() {
		m.Load(modules...)
		m.trying.Store(device)
		m.results <- m.mount(v, volume)
	}()
}

// What a person can do about it.
const (
	damaged = "save what is on it, and check it with e2fsck -f on another machine"
	unclean = "check the file system that holds it on another machine: chkdsk /f, fsck"
)

// mount mounts a volume: for reading only where it cannot be written to, or should not.
func (m *Manager) mount(v host.StateVolume, volume Volume) host.StateVolume {
	v.Mount = m.Dir
	err := m.Kernel.Mount(v.Device, volume, m.Dir, false)
	if err == nil {
		now, looked := m.Kernel.Look(m.Dir)
		if looked == nil && now.Errors == 0 {
			return with(v, now)
		}
		err = fmt.Errorf("the file system is damaged (%d errors)", now.Errors)
		if looked != nil {
			err = looked
		}
		if unmounted := m.Kernel.Unmount(m.Dir); unmounted != nil {
			m.Log.Debug("state volume", "err", unmounted)
		}
	}
	v.Problem, v.Remedy = "it is mounted for reading only: "+err.Error(), damaged
	if errors.Is(err, statefile.ErrUnclean) {
		v.Remedy = unclean
	}
	if err := m.Kernel.Mount(v.Device, volume, m.Dir, true); err != nil {
		v.Mount, v.Problem = "", "it cannot be mounted: "+err.Error()
		return v
	}
	now, err := m.Kernel.Look(m.Dir)
	if err != nil {
		m.Log.Debug("state volume", "err", err)
	}
	now.ReadOnly = true
	return with(v, now)
}

// with adds how a volume is.
func with(v host.StateVolume, now Condition) host.StateVolume {
	v.Bytes, v.Free, v.ReadOnly = now.Bytes, now.Free, now.ReadOnly
	return v
}

// result takes in what has come of a mount.
func (m *Manager) result(v host.StateVolume) {
	m.mounting = ""
	m.Tell(v)
	if v.Mount == "" {
		m.failed[v.Device] = true
		m.answer(false)
		return
	}
	m.mounted = v
	if _, there := m.volumes[v.Device]; !there { // it went away meanwhile
		m.lost()
		m.answer(false)
		return
	}
	m.answer(true)
}

// look looks at the mounted volume: how full it is, and whether the kernel has found it damaged and writes to it no
// more.
func (m *Manager) look() {
	if m.mounted.Device == "" {
		return
	}
	now, err := m.Kernel.Look(m.Dir)
	if errors.Is(err, ErrNotMounted) { // a person has unmounted it, and may mean to make it anew
		m.failed[m.mounted.Device] = true
		m.mounted = host.StateVolume{}
		m.Tell(host.StateVolume{})
		return
	}
	if err != nil {
		m.Log.Debug("state volume", "err", err)
		return
	}
	v := with(m.mounted, now)
	if v.ReadOnly && !m.mounted.ReadOnly {
		v.Problem, v.Remedy = "the kernel has found errors in it and writes to it no more, see dmesg", damaged
	}
	if !v.ReadOnly && m.mounted.ReadOnly { // a person has remounted it
		v.Problem, v.Remedy = "", ""
	}
	if moved(m.mounted.Free, v.Free) || v.ReadOnly != m.mounted.ReadOnly {
		m.mounted = v
		m.Tell(v)
	}
}

// moved says whether free space has changed enough to be told.
func moved(before, now int64) bool {
	const enough = 4 << 20
	return now-before >= enough || before-now >= enough
}
