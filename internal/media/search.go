package media

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/guarded"
)

var (
	errNotOurs  = errors.New("not a zerodisc medium")
	errOtherID  = errors.New("another zerodisc build")
	errNoDisc   = errors.New("no disc")
	errNotReady = errors.New("the drive is still reading its disc")
	errSilent   = errors.New("it does not answer; a dying disk?")
)

// search is one run of Find. Its maps belong to Find's goroutine; those that look at devices send answers.
type search struct {
	*Finder
	dir      string
	start    time.Time
	changed  time.Time        // when devices last came or changed
	devices  map[string]error // why a device is not the medium
	searched map[string]error // why it is not in the file system on a device; each is searched once
	busy     map[string]bool  // devices that a goroutine is at
	hostDirs map[string]bool  // where file systems are mounted to be searched

	answers chan answer
	target  chan struct{} // holds a value while somebody mounts at dir, or has mounted the medium there
	group   sync.WaitGroup
}

// answer is what came of looking at a device.
type answer struct {
	device  string
	hostDir string // where its file system was searched; "" when the device itself was looked at
	file    string // path of the ISO file
	err     error  // nil: the medium is mounted
}

func newSearch(f *Finder, dir string) *search {
	now := time.Now()
	return &search{
		Finder: f, dir: dir, start: now, changed: now,
		devices: map[string]error{}, searched: map[string]error{}, busy: map[string]bool{}, hostDirs: map[string]bool{},
		answers: make(chan answer), target: make(chan struct{}, 1),
	}
}

// scan tries every device once, then, if the time for that has come, the file systems on them. It
// returns the zero Medium when the medium is not there.
func (s *search) scan(ctx context.Context) (Medium, error) {
	devices, err := s.Devices()
	if err != nil {
		return Medium{}, fmt.Errorf("list block devices: %w", err)
	}
	s.forget(devices)
	for _, device := range devices {
		if ctx.Err() != nil || s.busy[device] {
			continue
		}
		s.devices[device] = cmp.Or(s.devices[device], errSilent)
		s.look(ctx, answer{device: device}, s.try)
		if medium := s.await(ctx, device); medium.Device != "" {
			return medium, nil
		}
	}
	if !s.due() {
		return Medium{}, nil
	}
	for _, device := range devices {
		if ctx.Err() != nil || len(s.Changed) > 0 { // what has come may be the medium itself
			break
		}
		if !s.searchable(device) {
			continue
		}
		s.searched[device] = errSilent
		s.look(ctx, answer{device: device, hostDir: s.freeHostDir()}, s.tryFileSystem)
		if medium := s.await(ctx, device); medium.Device != "" {
			return medium, nil
		}
	}
	return Medium{}, nil
}

// look has a goroutine complete the answer about a device.
func (s *search) look(ctx context.Context, about answer, try func(context.Context, answer) (file string, err error)) {
	s.busy[about.device] = true
	s.hostDirs[about.hostDir] = true
	s.group.Go(func() {
		guarded.Call(ctx, func() {
			about.file, about.err = try(ctx, about)
			select {
			case s.answers <- about:
			case <-ctx.Done(): // nobody waits for it any more
				s.undo(about)
			}
		})
	})
}

// await waits for the answer about a device, which comes too late to be waited for or not at all where the
// device is dying. The answers about others may come first.
func (s *search) await(ctx context.Context, device string) Medium {
	late := time.After(s.Patience)
	for s.busy[device] {
		select {
		case a := <-s.answers:
			if medium := s.take(a); medium.Device != "" {
				return medium
			}
		case <-late:
			return Medium{}
		case <-ctx.Done():
			return Medium{}
		}
	}
	return Medium{}
}

// rest waits until there is a reason to look again.
func (s *search) rest(ctx context.Context) Medium {
	select {
	case a := <-s.answers:
		return s.take(a)
	case <-s.Changed:
		s.changed = time.Now()
	case <-time.After(s.pause()):
	case <-ctx.Done():
	}
	return Medium{}
}

// pause is the time until the next look if nothing changes.
func (s *search) pause() time.Duration {
	notReady := func(err error) bool { return errors.Is(err, errNotReady) }
	if time.Since(s.changed) < s.Often || slices.ContainsFunc(slices.Collect(maps.Values(s.devices)), notReady) {
		return s.Every
	}
	return s.Seldom
}

// take takes in an answer; it returns the medium if that is the one.
func (s *search) take(a answer) Medium {
	delete(s.busy, a.device)
	delete(s.hostDirs, a.hostDir)
	switch {
	case a.err == nil:
		return Medium{Device: a.device, File: a.file, HostDir: a.hostDir}
	case a.hostDir != "":
		s.searched[a.device] = a.err
	default:
		s.devices[a.device] = a.err
	}
	return Medium{}
}

// undo unmounts what was mounted for nobody.
func (s *search) undo(a answer) {
	if a.err != nil {
		return
	}
	_ = s.Unmount(s.dir)
	if a.hostDir != "" {
		_ = s.Unmount(a.hostDir)
	}
}

// finishLimit is how long Find waits at its end for those that look at devices still, to leave nothing mounted that
// is on its way out.
const finishLimit = 200 * time.Millisecond

func (s *search) finish() {
	done := make(chan struct{})
	go func() {
		s.group.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(finishLimit):
	}
}

// freeHostDir is a directory to mount a file system at where none is.
func (s *search) freeHostDir() string {
	dir := s.HostDir
	for n := 2; s.hostDirs[dir]; n++ {
		dir = fmt.Sprintf("%s-%d", s.HostDir, n)
	}
	return dir
}

// forget drops what is known about devices that are gone: another may come under the same name.
func (s *search) forget(present []string) {
	gone := func(device string, _ error) bool { return !slices.Contains(present, device) }
	maps.DeleteFunc(s.devices, gone)
	maps.DeleteFunc(s.searched, gone)
}

// due says whether it is time to search file systems.
func (s *search) due() bool {
	if !s.SearchISOFiles {
		return false
	}
	if s.ISOFile != "" || time.Since(s.start) >= s.AtLast {
		return true
	}
	for _, err := range s.devices {
		if errors.Is(err, errNotReady) || errors.Is(err, errSilent) {
			return false
		}
	}
	return time.Since(s.changed) >= s.Quiet
}

// searchable says whether there may be a file system on a device that was not searched yet. Devices
// that cannot be read, and another zerodisc, are none.
func (s *search) searchable(device string) bool {
	_, done := s.searched[device]
	return !done && !s.busy[device] && errors.Is(s.devices[device], errNotOurs)
}

// try mounts a device when it is the medium looked for.
func (s *search) try(ctx context.Context, about answer) (string, error) {
	label, err := volumeID(about.device)
	if err != nil {
		return "", err
	}
	if label != boot.VolumeID {
		return "", errNotOurs
	}
	return "", s.mountMedium(ctx, func() error {
		if err := s.Mount(about.device, s.dir); err != nil {
			return fmt.Errorf("mount: %w", err)
		}
		return nil
	})
}

// mountMedium mounts at dir what may be the medium, and unmounts it again when it is not. One goroutine at a time
// does that, and none any more once it is the medium.
func (s *search) mountMedium(ctx context.Context, mount func() error) error {
	select {
	case s.target <- struct{}{}:
	case <-ctx.Done():
		return errUnfinished
	}
	err := mount()
	if err == nil {
		err = s.checkID()
	}
	if err != nil {
		<-s.target
	}
	return err
}

// checkID unmounts what is mounted unless it is the medium looked for.
func (s *search) checkID() error {
	if _, err := os.Stat(filepath.Join(s.dir, boot.MediumIDDir, s.ID)); err != nil {
		return errors.Join(errOtherID, s.Unmount(s.dir))
	}
	return nil
}

// reasons names what a person can act on, a device at a time: file systems that were searched,
// what could not be read, other builds.
func (s *search) reasons() string {
	var text string
	for _, device := range slices.Sorted(maps.Keys(s.devices)) {
		err := cmp.Or(s.searched[device], s.devices[device])
		if !errors.Is(err, errNotOurs) && !errors.Is(err, errUnknown) {
			text += fmt.Sprintf(" (%s: %v)", device, err)
		}
	}
	return text
}
