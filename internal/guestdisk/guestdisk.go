// Package guestdisk makes block devices of the disks that guests' configurations name, where dom0's kernel does not
// have one already: of images in other formats than raw, and of disks that the guest may write to and that must not
// change. What the guest writes is kept in dom0's memory (copy-on-write), within a budget of the guest's.
//
// Data goes through dom0's kernel alone, by device mapper: no program has to run for a guest to use its disks, but
// for parts of images that are compressed or in too many pieces (internal/imageserver). A disk is made of
//
//	guest-UUID-xvda        what the guest gets: linear; once the budget is used up, flakey, which refuses writes
//	guest-UUID-xvda-cow    snapshot of the base, with its changes in a file of a memory file system
//	guest-UUID-xvda-base   of an image in another format: its parts in their order
//	loop devices           over the image and the file of changes
package guestdisk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/devmapper"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/memory"
	"github.com/zerodisc/zerodisc/internal/ublk"
)

// Kernel is what is done to dom0's kernel.
type Kernel interface {
	// Attach makes a file a block device, for reading only if asked. The device goes away when nobody has it open.
	Attach(file *os.File, readOnly bool) (*os.File, error)
	// Bytes is the size of a block device.
	Bytes(device string) (int64, error)
	// IsBlock says whether a path is a block device and no file.
	IsBlock(path string) (bool, error)
	// ReadOnly says whether a block device refuses writes.
	ReadOnly(device string) (bool, error)
	// InMemory says whether a file lies in memory, and nowhere else, and can be written to.
	InMemory(path string) (bool, error)

	// Create makes a device of the device mapper and returns its path. Replace gives it another table. Remove removes
	// it, as soon as nobody has it open.
	Create(name, uuid string, table []devmapper.Target, readOnly bool) (device string, err error)
	Replace(name string, table []devmapper.Target) error
	Remove(name string) error
	// Names lists the devices of the device mapper, and Path is where one is.
	Names() ([]string, error)
	Path(name string) (device string, err error)
	// IsInvalid says whether a snapshot has failed: all of it, for good. Revive makes it anew with what it had in the
	// file of its changes.
	IsInvalid(snapshot string) (bool, error)
	Revive(snapshot, uuid, changes string) (device string, err error)

	// MountMemory mounts a memory file system for at most so many bytes. Unmount takes it away; what is in use in it
	// stays until it is not.
	MountMemory(dir string, bytes int64) error
	Unmount(dir string) error
	// Used is how much memory the file system at dir takes, bytes.
	Used(dir string) (int64, error)
}

// Images makes block devices of image files.
type Images interface {
	// Open opens an image and returns the parts that it is made of.
	Open(target, format string) (Image, error)
	// Serve starts a service of that name that serves the whole image as a block device, for reading only. key names it
	// for Stop; that there is none is no error then.
	Serve(ctx context.Context, key, service, target, format string) (device string, err error)
	Stop(key string) error
}

// Config is what a Manager works with. All fields are to be set.
type Config struct {
	Kernel Kernel
	Images Images
	// Load loads the kernel modules that disks need.
	Load   func(ctx context.Context, modules ...string) error
	Ledger *memory.Ledger
	// Dir is where guests' memory file systems are mounted, each at its UUID.
	Dir string
	// Budgets says how much memory guests' changes may take.
	Budgets func() Budgets
	// Direct says of a target whether guests may write to it itself.
	Direct func(target string) bool
	Tell   func(host.Fact)
	Log    *slog.Logger
}

// Manager makes guests' disks.
type Manager struct{ Config }

// New returns a Manager.
func New(config Config) *Manager { return &Manager{config} }

// Prepare makes the block devices that a guest needs. They stay through its restarts, until Close. The
// error is a *guests.Error. Guests without such disks have a Set without devices.
func (m *Manager) Prepare(ctx context.Context, spec *guests.Resolved) (*Set, error) {
	plans, err := m.plan(spec)
	if err != nil {
		return nil, err
	}
	if len(plans) > 0 {
		if err := m.Load(ctx, devmapper.Module, ublk.Module); err != nil {
			return nil, spec.Problem(guests.Pos{}, "see dmesg", err)
		}
	}
	s := m.newSet(spec)
	s.noteNodes()
	if err := s.openBudget(ctx, plans); err != nil {
		return nil, s.fail(spec.Problem(guests.Pos{}, budgetRemedy, err))
	}
	for _, p := range plans {
		if err := s.add(ctx, p); err != nil {
			err = fmt.Errorf("disk %s: %w", p.Vdev, err)
			return nil, s.fail(spec.Problem(p.Pos, "check the image, and the medium it is on", err))
		}
	}
	if len(spec.Disks) > 0 {
		s.tell(0)
	}
	s.watch()
	return s, nil
}

// Lacks is an error where a device that the guest's configuration names is not there; it may yet come.
func (m *Manager) Lacks(spec *guests.Resolved) error {
	for _, d := range spec.Disks {
		if !strings.HasPrefix(d.Target, "/dev/") {
			continue
		}
		if _, err := m.Kernel.IsBlock(d.Target); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("disk %s: there is no %s", d.Vdev, d.Target)
		}
	}
	return nil
}

// plan is what has to be done for one disk.
type plan struct {
	guests.Disk
	image bool // its format is not raw
	cow   bool // what the guest writes is kept elsewhere
}

// plan finds the disks for which something has to be done.
func (m *Manager) plan(spec *guests.Resolved) ([]plan, error) {
	var plans []plan
	for _, d := range spec.Disks {
		p := plan{Disk: d, image: d.Format != "raw"}
		if d.Writable {
			direct, err := m.writable(d.Target)
			if err != nil {
				err = fmt.Errorf("disk %s: %w", d.Vdev, err)
				return nil, spec.Problem(d.Pos, "check the disk, and "+boot.KeyWrite, err)
			}
			p.cow = p.image || !direct
		}
		if p.image || p.cow {
			plans = append(plans, p)
		}
	}
	return plans, nil
}

// writable says whether a guest may write to a target itself: to what lies in memory anyway, and to what a
// person has named.
func (m *Manager) writable(target string) (bool, error) {
	if !m.Direct(target) {
		return m.Kernel.InMemory(target)
	}
	block, err := m.Kernel.IsBlock(target)
	if err != nil || !block {
		return true, err
	}
	readOnly, err := m.Kernel.ReadOnly(target)
	if readOnly {
		err = fmt.Errorf("%s can only be read here, like all logical volumes and arrays", target)
	}
	return true, err
}

// Set is the block devices of one guest.
type Set struct {
	manager *Manager
	spec    *guests.Resolved
	dir     string
	devices map[string]string // by vdev
	damage  map[string]string // by vdev
	nodes   map[string]string // by vdev: the block devices that targets lead to
	undo    []undo            // in the order in which things were done
	making  string            // vdev of the disk that is being made, "" for what all of them have
	held    []*os.File        // loop devices, while something is being made of them
	budget  budget
	stop    context.CancelFunc // of the watch; nil where there is nothing to watch
	watched chan struct{}
}

// undo takes back something that was done for a disk, or for all of them.
type undo struct {
	vdev string
	do   func() error
}

func (m *Manager) newSet(spec *guests.Resolved) *Set {
	return &Set{
		manager: m, spec: spec, dir: filepath.Join(m.Dir, spec.UUID),
		devices: map[string]string{}, damage: map[string]string{}, nodes: map[string]string{},
	}
}

// noteNodes notes where disks are that are devices of dom0's.
func (s *Set) noteNodes() {
	for _, d := range s.spec.Disks {
		if _, known := s.nodes[d.Vdev]; !known && strings.HasPrefix(d.Target, "/dev/") {
			s.nodes[d.Vdev] = node(d.Target)
		}
	}
}

// node is where a link below /dev leads to. Later, when the device has gone, the link has gone, too.
func node(target string) string {
	if real, err := filepath.EvalSymlinks(target); err == nil {
		return real
	}
	return target
}

// Devices maps the vdevs of the guest's disks to their devices, for guests.Resolved.WithDevices.
func (s *Set) Devices() map[string]string { return s.devices }

// name is the device mapper's name of a part of a disk.
func (s *Set) name(vdev, part string) string { return devicePrefix(s.spec.UUID) + vdev + part }

func devicePrefix(uuid string) string { return "guest-" + uuid + "-" }

// fail takes back what was made and returns err.
func (s *Set) fail(err error) error {
	if undone := s.undoAll(); undone != nil {
		s.manager.Log.Debug("guest disks", "guest", s.spec.Name, "err", undone)
	}
	return err
}

// did notes how something that was done is undone.
func (s *Set) did(do func() error) { s.undo = append(s.undo, undo{s.making, do}) }

// Close takes the devices away and gives their memory back, as soon as the guest's domain has let go of
// them. What the guest has written is lost.
func (s *Set) Close() error {
	err := s.undoAll()
	s.budget = budget{}
	clear(s.devices)
	clear(s.damage)
	s.tell(0)
	return err
}

func (s *Set) undoAll() error {
	s.unwatch()
	return s.takeBack(func(undo) bool { return true })
}

// takeBack takes back some of what was done, the last first.
func (s *Set) takeBack(which func(undo) bool) error {
	var errs []error
	for _, u := range slices.Backward(s.undo) {
		if which(u) {
			errs = append(errs, u.do())
		}
	}
	s.undo = slices.DeleteFunc(s.undo, which)
	return errors.Join(errs...)
}

// add makes one disk's devices.
func (s *Set) add(ctx context.Context, p plan) error {
	s.making = p.Vdev
	defer func() {
		for _, loop := range s.held {
			loop.Close()
		}
		s.held, s.making = nil, ""
	}()
	device, err := s.base(ctx, p)
	if err == nil && p.cow {
		device, err = s.copyOnWrite(p, device)
	}
	if err != nil {
		return err
	}
	s.devices[p.Vdev] = device
	return nil
}

// attach makes a file a block device, which stays until something is made of it that has it open.
func (s *Set) attach(file *os.File, readOnly bool) (string, error) {
	loop, err := s.manager.Kernel.Attach(file, readOnly)
	if err != nil {
		return "", err
	}
	s.held = append(s.held, loop)
	return loop.Name(), nil
}

// create makes a device of the device mapper.
func (s *Set) create(name, uuid string, table []devmapper.Target, readOnly bool) (string, error) {
	device, err := s.manager.Kernel.Create(name, uuid, table, readOnly)
	if err == nil {
		s.did(func() error { return s.manager.Kernel.Remove(name) })
	}
	return device, err
}

// GateName is the device mapper's name of the device that a guest gets of a disk with copy-on-write, CopyOnWriteName
// that of the snapshot below it. The snapshot's changes are in StoreFile, below Config.Dir.
func GateName(uuid, vdev string) string { return devicePrefix(uuid) + vdev }

// CopyOnWriteName is described with GateName.
func CopyOnWriteName(uuid, vdev string) string { return GateName(uuid, vdev) + copyOnWritePart }

// StoreFile is described with GateName.
func StoreFile(uuid, vdev string) string { return filepath.Join(uuid, vdev) }

// copyOnWritePart ends the name of a disk's snapshot.
const copyOnWritePart = "-cow"
