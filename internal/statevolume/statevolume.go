// Package statevolume mounts the state volume: the one file system of the machine's disks that zerodisc writes to,
// because a person has made it for that. It is an ext4 file system with the label ZERODISC-STATE. What is there at
// the boot is mounted before guests start, what is plugged in later when it comes.
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
	"github.com/zerodisc/zerodisc/internal/host"
)

// Volume is what a device holds, as udev's database has it.
type Volume struct{ Label, Type, UUID string }

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
	// Mount mounts the file system at dir and replays its journal, or mounts it for reading only and leaves the journal
	// alone.
	Mount(device, dir string, readOnly bool) error
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

// Config is what a Manager works with. All fields but UUID are to be set.
type Config struct {
	Kernel Kernel
	// Dir is where the volume is mounted.
	Dir string
	// UUID is that of the volume to take; "" for any.
	UUID string
	// Load loads the driver of the file system. Where it fails, so does Kernel.Mount.
	Load func()
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
	volumes  map[string]Volume // labelled ones, by device
	failed   map[string]bool   // devices that could not be mounted
	mounting string            // the device
	mounted  host.StateVolume
	results  chan host.StateVolume

	who    atomic.Int32
	first  chan bool
	trying atomic.Value // a string: the device that Wait waits for
}

// New returns a Manager.
func New(config Config) *Manager {
	return &Manager{
		Config: config, volumes: map[string]Volume{}, failed: map[string]bool{},
		results: make(chan host.StateVolume, 1), first: make(chan bool, 1),
	}
}

// lookPause is the time between two looks at the mounted volume.
const lookPause = 10 * time.Second

// Run takes the volume among those that are there, and then follows events until ctx ends.
func (m *Manager) Run(ctx context.Context, there []Event, events <-chan Event) {
	for _, e := range there {
		m.event(e)
	}
	m.choose()
	if m.mounting == "" {
		m.answer(false)
	}
	look := time.NewTicker(lookPause)
	defer look.Stop()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return
			}
			m.event(e)
		case v := <-m.results:
			m.result(v)
		case <-look.C:
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
func (m *Manager) event(e Event) {
	switch {
	case e.Gone || e.Label != boot.StateLabel:
		delete(m.volumes, e.Device)
		delete(m.failed, e.Device)
		if e.Gone && m.mounted.Device == e.Device {
			m.lost()
		}
	default:
		if e.Device == m.mounted.Device {
			m.look()
		}
		if old, known := m.volumes[e.Device]; known && old != e.Volume {
			delete(m.failed, e.Device) // it was made anew
		}
		m.volumes[e.Device] = e.Volume
	}
}

// lost lets go of the mounted volume, which was taken away.
func (m *Manager) lost() {
	device := m.mounted.Device
	m.mounted = host.StateVolume{}
	users := m.Uses(device)
	if err := m.Kernel.Unmount(m.Dir); err != nil {
		m.Log.Debug("state volume", "err", err)
	}
	lost := host.StateVolume{Device: device, Guests: users, Problem: "it was taken away"}
	lost.Remedy = "plug it in again"
	if len(users) > 0 {
		lost.Remedy = "their disks on it are gone; end them, put it back and start them again"
	}
	m.Tell(lost)
}

// choose mounts the volume where it is clear which one it is.
func (m *Manager) choose() {
	if m.mounting != "" || m.mounted.Device != "" {
		return
	}
	var devices []string
	for _, device := range slices.Sorted(maps.Keys(m.volumes)) {
		if m.UUID == "" || strings.EqualFold(m.volumes[device].UUID, m.UUID) {
			devices = append(devices, device)
		}
	}
	switch {
	case len(devices) > 1:
		m.Tell(host.StateVolume{
			Problem: fmt.Sprintf("there are %d volumes with the label %s: %s; none of them is used",
				len(devices), boot.StateLabel, strings.Join(devices, ", ")),
			Remedy: "unplug the others, or name the right one with " + boot.KeyState + "=UUID",
		})
	case len(devices) == 0 && len(m.volumes) > 0:
		m.Tell(host.StateVolume{
			Problem: fmt.Sprintf("no volume with the label %s has the UUID %s", boot.StateLabel, m.UUID),
			Remedy:  "correct " + boot.KeyState + ", or plug the volume in",
		})
	case len(devices) == 1 && !m.failed[devices[0]]:
		m.begin(devices[0])
	}
}

// begin begins to mount a volume.
func (m *Manager) begin(device string) {
	v := host.StateVolume{Device: device, UUID: m.volumes[device].UUID}
	if kind := m.volumes[device].Type; kind != fileSystem {
		m.failed[device] = true
		v.Problem = fmt.Sprintf("it holds %s and not %s", kind, fileSystem)
		v.Remedy = "zerodisc-state create " + device + " makes it anew; what is on it is lost"
		m.Tell(v)
		return
	}
	m.mounting = device
	go func() {
		m.Load()
		m.trying.Store(device)
		m.results <- m.mount(v)
	}()
}

const damaged = "save what is on it, and check it with e2fsck -f on another machine"

// mount mounts a volume: for reading only where it cannot be written to, or should not.
func (m *Manager) mount(v host.StateVolume) host.StateVolume {
	v.Mount = m.Dir
	err := m.Kernel.Mount(v.Device, m.Dir, false)
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
	if err := m.Kernel.Mount(v.Device, m.Dir, true); err != nil {
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
