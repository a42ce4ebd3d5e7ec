// Package disksave is what guest disk save does: it copies guests' disks, with all that was written to them since,
// to where they outlast the machine's end.
//
// What a disk with copy-on-write was made of never changes, so that it is copied while the guest runs. Then the
// guest's disks take no requests for a moment, all of them at once, and what has changed is copied: the copy is what
// a power cut at that moment would have left. Everything is written next to where it is to be and renamed in the
// end, so that a power cut leaves the old or the new one.
package disksave

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/host"
)

// Config is what a save works with. All fields are to be set.
type Config struct {
	// State reads the host's state.
	State  func() (*host.Snapshot, error)
	Kernel Kernel
	// Disks is guestdisk.Config.Dir.
	Disks string
	// Guests is the directory on the state volume that guests are saved to.
	Guests string
	// Lock is the file that keeps a second save from running at the same time.
	Lock string
	// Freeze holds guests' disks and domains until the function that it returns is called, or this process ends.
	Freeze func(f Frozen) (thaw func() error, err error)
}

// Want is what to save: a guest with its disks as they are now, on the state volume, where it is started from at the
// next boot, or one of its disks as a raw image. The guest must run.
type Want struct {
	Guest      string
	Disk, File string // its vdev and the absolute path of the image
	Replace    bool   // what was saved before
}

// tool is one save.
type tool struct {
	Config
	progress teller
	replace  bool // what is there already
}

func (t *tool) run(ctx context.Context, want Want) error {
	t.replace = want.Replace
	now, err := t.State()
	if err != nil {
		return err
	}
	g := now.Live(want.Guest)
	if g == nil {
		return fmt.Errorf("no guest %q runs; guest list shows those that do", want.Guest)
	}
	unlock, err := t.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if want.Disk != "" {
		return t.saveDisk(ctx, g, want.Disk, want.File)
	}
	return t.saveGuest(ctx, now, g)
}

// lock keeps others from saving at the same time.
func (t *tool) lock() (unlock func(), err error) {
	file, err := os.OpenFile(t.Lock, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		file.Close()
		return nil, errors.New("another guest or disk is being saved; wait for it")
	}
	return func() { file.Close() }, nil
}

// saveDisk saves one disk of a guest as a raw image.
func (t *tool) saveDisk(ctx context.Context, g *host.Guest, vdev, name string) (err error) {
	if _, err := os.Lstat(name); err == nil && !t.replace {
		return fmt.Errorf("%s is there already; guest disk save -replace replaces it", name)
	}
	disk, err := g.Disk(vdev)
	if err != nil {
		return err
	}
	if disk.ByXL {
		return fmt.Errorf("disk %s: xl was given it by hand, and the host does not hold it still while it is copied; "+
			"shut the guest down, or detach the disk, and copy %s yourself", vdev, disk.Target)
	}
	temporary := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".new")
	j := job{guest: g, images: []image{{disk: disk, to: temporary}}}
	defer os.Remove(temporary)
	if err := t.copy(ctx, filepath.Dir(name), &j); err != nil {
		return err
	}
	if err := os.Rename(temporary, name); err != nil {
		return err
	}
	t.progress.Note(fmt.Sprintf("saved disk %s of %s as %s%s", vdev, g.Name, name, j.wait()))
	return syncDir(filepath.Dir(name))
}

// saveGuest saves a guest with all that it needs.
func (t *tool) saveGuest(ctx context.Context, now *host.Snapshot, g *host.Guest) error {
	if err := isUsable(now.Host.State); err != nil {
		return err
	}
	if g.Origin == "" {
		return fmt.Errorf("guest %s was made by hand with xl; copy its configuration and its files to %s",
			g.Name, filepath.Join(t.Guests, g.Name))
	}
	guest, err := guests.Load(filepath.Dir(g.Origin))
	if err != nil {
		return err
	}
	target := filepath.Join(t.Guests, guest.Name)
	_, err = os.Lstat(target)
	isThere := err == nil
	j := t.plan(g, guest)
	switch {
	case guest.Dir == target && len(j.images) == 0:
		t.progress.Note(guest.Name + " is on the state volume already, and what it writes stays")
		return nil
	case isThere && guest.Dir != target && !t.replace:
		return fmt.Errorf("%s was saved before; guest disk save -replace replaces it", target)
	}
	kept, err := guest.Keep(j.vdevs())
	if err != nil {
		return err
	}
	j.files = kept.Files
	if err := t.write(ctx, target, guest.Name, kept.Config, &j); err != nil {
		return err
	}
	t.progress.Note(fmt.Sprintf("saved guest %s%s: it is started from %s at the next boot",
		guest.Name, j.wait(), target))
	for _, d := range g.AllDisks() {
		if d.ByXL {
			t.progress.Note(fmt.Sprintf(
				"disk %s is not saved: xl was given it by hand, and the guest loses it when it restarts, too", d.Vdev))
		}
	}
	if guest.Dir != target {
		t.progress.Note("what it writes until then goes on being lost; save it again, or reboot now")
	}
	return nil
}

// wait says how long the guest had to wait.
func (j job) wait() string {
	if j.waited == 0 {
		return ""
	}
	return fmt.Sprintf(", whose disks waited for %v", j.waited.Round(time.Millisecond))
}

// isUsable is an error where there is no state volume to write to.
func isUsable(v host.StateVolume) error {
	switch {
	case v.Mount == "" && v.Problem != "":
		return fmt.Errorf("the state volume cannot be used: %s; %s", v.Problem, v.Remedy)
	case v.Mount == "":
		return errors.New("there is no state volume; zerodisc-state create DEVICE makes one of a disk or a partition")
	case v.ReadOnly:
		return fmt.Errorf("the state volume cannot be written to: %s; %s", v.Problem, v.Remedy)
	}
	return nil
}

// plan finds out which disks become raw images: those of which a block device was made, and files that the guest
// writes to itself and that are not on the state volume.
func (t *tool) plan(g *host.Guest, guest *guests.Guest) job {
	j := job{guest: g}
	for _, d := range g.Disks {
		if d.Device != "" || d.Writable && isFile(d.Target) && !t.isKept(d.Target) {
			j.images = append(j.images, image{disk: d, to: guests.ImageName(d.Vdev)})
		}
	}
	return j
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
