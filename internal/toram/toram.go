// Package toram makes a host independent of its boot medium. What is needed of the medium is copied to memory, and the
// copy takes its place under everything that runs; then the medium may be removed. Where memory does not suffice, the
// package follows the medium: when it is pulled and plugged in again, it takes its own place in the same way.
package toram

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/memory"
)

// Mode says whether the medium is copied: the values of boot.KeyToRAM.
type Mode string

// The modes.
const (
	Auto Mode = "auto" // once all guests have started, and if half of the memory that is left suffices
	Yes  Mode = "yes"  // if there is memory for it
	No   Mode = "no"
)

// ModeOf is the mode that stores.toram of the configuration asks for.
func ModeOf(text string) Mode {
	switch strings.ToLower(text) {
	case "yes", "true", "on", "1":
		return Yes
	case "no", "false", "off", "0":
		return No
	}
	return Auto
}

// Kernel is what is done to dom0's kernel.
type Kernel interface {
	// MountMemory mounts a memory file system for at most so many bytes. Protect makes it one for reading only.
	MountMemory(dir string, bytes int64) error
	Protect(dir string) error
	// Unmount takes a mount away; what is in use in it stays until it is not.
	Unmount(dir string) error
	// Replace moves what is mounted at dir to target, in the place of what is mounted there and under everything that
	// uses that: it has the same files, or those that are in use.
	Replace(dir, target string) error
	// Release waits until nobody has the block device in use, and says who has it still otherwise.
	Release(ctx context.Context, device string) error
}

// Config is what a Manager works with. All fields are to be set.
type Config struct {
	Mode Mode
	// Medium is where the medium was found at the boot.
	Medium host.Medium
	// Needed are the files and directories that are needed of it, relative to its root. Not all are on each medium.
	Needed []string
	// Dir is where the copy, or the medium when it comes back, is mounted before it takes the medium's place.
	Dir    string
	Kernel Kernel
	Ledger *memory.Ledger
	// Subscribe follows the host's state.
	Subscribe func(context.Context) <-chan host.Update
	// Gone returns when the device is taken away, or its disc is, or when ctx ends.
	Gone func(ctx context.Context, device string)
	// Find waits for the medium and mounts it at dir.
	Find func(ctx context.Context, dir string) (host.Medium, error)
	// Users lists the guests that use files of the medium. Others lists those that use other partitions of its disk,
	// and says what else has them in use, "" for nothing.
	Users  func() []string
	Others func(device string) (guests []string, problem string)
	Tell   func(host.Fact)
	// Copied is called once the copy is in the medium's place.
	Copied func()
	Log    *slog.Logger
}

// Manager follows the medium. One goroutine uses it.
type Manager struct {
	Config
	refused error // why it was not copied, as it was told last
}

// New returns a Manager.
func New(config Config) *Manager { return &Manager{Config: config} }

var errLater = errors.New("it will be copied once all guests have been fetched and started")

// The time between two tries to copy the medium: there may be memory by then.
const (
	firstRetry = 30 * time.Second
	lastRetry  = time.Hour
)

// Run follows the medium until it is in memory, or until ctx ends.
func (m *Manager) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if m.present(ctx) || ctx.Err() != nil {
			return
		}
		gone := m.Medium
		gone.State, gone.Guests = host.MediumGone, m.Users()
		m.Tell(gone)
		m.leaveHost()
		m.await(ctx)
	}
}

// present tries to copy the medium for as long as it is there, and says whether it is in memory.
func (m *Manager) present(ctx context.Context) bool {
	ctx, gone := context.WithCancel(ctx)
	defer gone()
	go func() {
		m.Gone(ctx, m.Medium.Device)
		gone()
	}()
	if m.Mode == Auto {
		awaitGuests(ctx, m.Subscribe(ctx), func() { m.refuse(ctx, errLater) })
	}
	for pause := firstRetry; m.Mode != No && ctx.Err() == nil; pause = min(2*pause, lastRetry) {
		err := m.copy(ctx)
		if err == nil {
			return true
		}
		m.refuse(ctx, err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	<-ctx.Done()
	return false
}

// refuse tells why the medium was not copied, once.
func (m *Manager) refuse(ctx context.Context, err error) {
	if ctx.Err() != nil || m.refused != nil && err.Error() == m.refused.Error() {
		return
	}
	again := isNoRoom(err) && isNoRoom(m.refused) // only the figures have changed
	m.refused = err
	if again {
		return
	}
	needed := m.Medium
	needed.Problem = err.Error()
	m.Tell(needed)
}

func isNoRoom(err error) bool { return errors.As(err, new(*memory.NoRoom)) }

// leaveHost unmounts the file system that has the medium as an ISO file. As long as that is in use, so is it.
func (m *Manager) leaveHost() {
	if m.Medium.HostDir == "" {
		return
	}
	if err := m.Kernel.Unmount(m.Medium.HostDir); err != nil {
		m.Log.Debug(boot.MsgMedium, "err", err)
	}
}

// await waits for the medium to come back and puts it in its place.
func (m *Manager) await(ctx context.Context) {
	for pause := time.Second; ctx.Err() == nil; pause = min(2*pause, time.Minute) {
		found, err := m.Find(ctx, m.Dir)
		if err == nil {
			if err = m.Kernel.Replace(m.Dir, m.Medium.Mount); err == nil {
				found.Mount, m.refused = m.Medium.Mount, nil
				m.Medium = found
				m.Tell(found)
				return
			}
			err = errors.Join(err, m.Kernel.Unmount(m.Dir))
		}
		if ctx.Err() == nil {
			m.Log.Error(boot.MsgMedium, "err", err, "remedy", "put in the medium that this machine was booted from")
			time.Sleep(pause)
		}
	}
}

// releaseLimit is how long those that have the medium open may take to let go of it.
const releaseLimit = 10 * time.Second

// copy copies the medium to memory and puts the copy in its place. When it fails, all is as before.
func (m *Manager) copy(ctx context.Context) error {
	start := time.Now()
	root, err := os.OpenRoot(m.Medium.Mount)
	if err != nil {
		return err
	}
	defer root.Close()
	plan, err := measure(root, m.Needed)
	if err != nil {
		return err
	}
	files, err := m.reserve(ctx, plan.bytes)
	if err != nil {
		return err
	}
	err = m.fill(ctx, root, plan, files)
	root.Close()
	if err == nil {
		if err = m.Kernel.Replace(m.Dir, m.Medium.Mount); err != nil {
			err = errors.Join(err, m.Kernel.Unmount(m.Dir))
		}
	}
	if err != nil {
		files.Release()
		return err
	}
	files.Settle()
	m.Copied()
	m.leaveHost()
	m.release(ctx, start)
	return nil
}

// release waits until the medium is free and tells so.
func (m *Manager) release(ctx context.Context, start time.Time) {
	ctx, cancel := context.WithTimeout(ctx, releaseLimit)
	defer cancel()
	copied := m.Medium
	copied.State, copied.Took = host.MediumInRAM, time.Since(start)
	copied.Guests, copied.Problem = m.Others(m.Medium.Device)
	if err := m.Kernel.Release(ctx, m.Medium.Device); err != nil && copied.Problem == "" {
		copied.Problem = err.Error()
	}
	m.Tell(copied)
}

// owner is the ledger's name for the copy.
const owner = "boot medium (copy)"

// reserve reserves memory for the copy.
func (m *Manager) reserve(ctx context.Context, bytes int64) (*memory.Files, error) {
	room, err := m.Ledger.RoomKiB(ctx)
	if err != nil {
		return nil, err
	}
	if need := bytes >> 10; m.Mode == Auto && need <= room && need > room/2 {
		return nil, fmt.Errorf("it takes %d MiB, which is more than half of the %d MiB that are free: "+
			"%s=%s copies it all the same", need>>10+1, room>>10, boot.KeyToRAM, Yes)
	}
	files := m.Ledger.Files(owner)
	return files, files.GrowInTime(ctx, bytes)
}

// quiet is how long no guest has to be on its way before all count as started: those of disks are found one by one, and
// guests that boot need the processors themselves. longWait is when it is said what the copy waits for.
const (
	quiet    = 10 * time.Second
	longWait = time.Minute
)

// awaitGuests returns when all guests that are known have what they need. If that takes long it calls late, once.
func awaitGuests(ctx context.Context, updates <-chan host.Update, late func()) {
	calm, long := time.NewTimer(quiet), time.NewTimer(longWait)
	defer calm.Stop()
	defer long.Stop()
	calm.Stop()
	for was := false; ; {
		select {
		case u, ok := <-updates:
			if !ok {
				return
			}
			is := settled(u.Snapshot)
			switch {
			case !is:
				calm.Stop()
			case !was:
				calm.Reset(quiet)
			}
			was = is
		case <-long.C:
			late()
		case <-calm.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// settled says that no guest is being started or fetched. A guest that waits for a disk may wait for good, and one that
// starts anew has its memory.
func settled(s *host.Snapshot) bool {
	for _, g := range s.Guests {
		if g.Phase == host.Creating || g.Phase == host.Waiting && g.Problem == "" {
			return false
		}
	}
	for _, store := range s.Host.Stores {
		if store.State == "found" || store.State == "fetching" {
			return false
		}
	}
	return s.Host.Ready
}
