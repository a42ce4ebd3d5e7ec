package media

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/readonly"
)

// discImage is a file that starts like a disc with the given label. What follows the header is
// the build id, for fakeMounts.
func discImage(label, id string) []byte {
	image := make([]byte, 17*2048)
	copy(image[volumeDescriptors:], "\x01CD001\x01\x00")
	copy(image[volumeDescriptors+40:], label+strings.Repeat(" ", 32-len(label)))
	return append(image, id...)
}

// file writes a file and returns its name.
func file(t *testing.T, content []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "device")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// fakeMounts stands in for the kernel: mounts are trees of files copied to where they are mounted.
type fakeMounts struct {
	t     *testing.T
	hosts map[string]fs.FS // file systems by device

	mu sync.Mutex
	at map[string]bool // mounted
}

// newFinder returns a Finder over devices whose file systems are hosts. The time it waits is real,
// so that it is short.
func newFinder(t *testing.T, hosts map[string]fs.FS, devices ...string) (*Finder, *fakeMounts) {
	k := &fakeMounts{t: t, hosts: hosts, at: map[string]bool{}}
	f := New("b2", "", nil)
	f.Devices = func() ([]string, error) { return devices, nil }
	f.Every, f.Quiet, f.AtLast, f.HostDir = time.Millisecond, 0, 0, filepath.Join(t.TempDir(), "host")
	f.Mount, f.MountHost, f.MountISO, f.Unmount = k.device, k.host, k.iso, k.unmount
	return f, k
}

func (k *fakeMounts) device(device, dir string) error {
	image, err := os.Open(device)
	if err != nil {
		return err
	}
	defer image.Close()
	return k.iso(image, dir)
}

func (k *fakeMounts) iso(image *os.File, dir string) error {
	content, err := os.ReadFile(image.Name())
	if err != nil {
		return err
	}
	return k.mount(dir, func() error {
		at := filepath.Join(dir, boot.MediumIDDir)
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(at, string(content[17*2048:])), nil, 0o600)
	})
}

func (k *fakeMounts) host(device, dir string, how readonly.Mount) error {
	tree, ok := k.hosts[device]
	if !ok {
		return errors.New("bad superblock")
	}
	return k.mount(dir, func() error { return os.CopyFS(dir, tree) })
}

func (k *fakeMounts) mount(dir string, fill func() error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.at[dir] {
		k.t.Errorf("%s is mounted over", dir)
	}
	k.at[dir] = true
	return fill()
}

func (k *fakeMounts) unmount(dir string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.at[dir] {
		k.t.Errorf("%s is unmounted but was not mounted", dir)
	}
	delete(k.at, dir)
	return os.RemoveAll(dir)
}

// find runs Find for a short time.
func find(t *testing.T, f *Finder) (Medium, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	return f.Find(ctx, filepath.Join(t.TempDir(), "medium"))
}

func TestFindTakesOnlyTheMediumOfThisBuild(t *testing.T) {
	foreign := file(t, discImage("DEBIAN", ""))
	older, ours := file(t, discImage(boot.VolumeID, "b1")), file(t, discImage(boot.VolumeID, "b2"))
	f, mounts := newFinder(t, nil, "/dev/does-not-exist", foreign, older)
	_, err := find(t, f)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "another zerodisc build") {
		t.Fatalf("Find without the medium = %v, want a deadline that tells of the other build", err)
	}
	if len(mounts.at) > 0 {
		t.Errorf("%v was left mounted", mounts.at)
	}

	f.Devices = func() ([]string, error) { return []string{foreign, older, ours}, nil }
	if got, err := find(t, f); err != nil || got != (Medium{Device: ours}) {
		t.Errorf("Find = %v, %v, want %s", got, err, ours)
	}
}

// The stick is slow to appear, and an event tells of it.
func TestFindLooksAgainAtAnEvent(t *testing.T) {
	ours := file(t, discImage(boot.VolumeID, "b2"))
	changed := make(chan struct{}, 1)
	f, _ := newFinder(t, nil)
	f.Every, f.Changed = time.Hour, changed
	f.Devices = func() ([]string, error) {
		changed <- struct{}{}
		f.Devices = func() ([]string, error) { return []string{ours}, nil }
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if got, err := f.Find(ctx, filepath.Join(t.TempDir(), "medium")); err != nil || got.Device != ours {
		t.Errorf("Find = %v, %v, want %s", got, err, ours)
	}
}

// A drive that gets ready does so without an event.
func TestFindLooksAgainWithoutAnEvent(t *testing.T) {
	ours := file(t, discImage(boot.VolumeID, "b2"))
	f, _ := newFinder(t, nil)
	looks := 0
	f.Devices = func() ([]string, error) {
		if looks++; looks < 3 {
			return []string{"/dev/does-not-exist"}, nil
		}
		return []string{ours}, nil
	}
	if got, err := find(t, f); err != nil || got.Device != ours {
		t.Errorf("Find = %v, %v, want %s", got, err, ours)
	}
	if New("b2", "", nil).Every != time.Second {
		t.Error("New does not look every second")
	}
}

// A medium that was pulled may be missed for days: the disks that there are need not be read every second.
func TestFindLooksSeldomInTheEnd(t *testing.T) {
	for name, test := range map[string]struct {
		err      error
		min, max int
	}{"nothing": {errNotOurs, 30 + 5, 30 + 8}, "a drive that reads its disc in": {errNotReady, 85, 91}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := New("b2", "", nil)
				f.SearchISOFiles = false
				ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
				defer cancel()
				looks := 0
				f.Devices = func() ([]string, error) {
					looks++
					return nil, nil
				}
				s := newSearch(f, t.TempDir())
				for ctx.Err() == nil {
					if _, err := s.scan(ctx); err != nil {
						t.Fatal(err)
					}
					s.devices["/dev/sr0"] = test.err
					s.rest(ctx)
				}
				if looks < test.min || looks > test.max {
					t.Errorf("%d looks, want %d to %d", looks, test.min, test.max)
				}
			})
		})
	}
}

// File systems are searched when nothing has changed for a while, not while a drive is reading its
// disc, at last in any case, and at once when the boot loader named an ISO file.
func TestWhenFileSystemsAreSearched(t *testing.T) {
	reading := map[string]error{"/dev/sr0": errNotReady, "/dev/sda": errNotOurs}
	for _, test := range []struct {
		name    string
		isoFile string
		devices map[string]error
		changes []time.Duration // since the start
		want    time.Duration
	}{
		{"nothing changes", "", nil, nil, 2 * time.Second},
		{"a stick comes late", "", nil, []time.Duration{1500 * time.Millisecond}, 3500 * time.Millisecond},
		{"a drive is slow", "", reading, nil, 15 * time.Second},
		{"a contact is loose", "", nil, []time.Duration{
			1e9, 2e9, 3e9, 4e9, 5e9, 6e9, 7e9, 8e9, 9e9, 10e9, 11e9, 12e9, 13e9, 14e9,
		}, 15 * time.Second},
		{"the boot loader named a file", "/a.iso", reading, nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &search{
					Finder: New("b2", test.isoFile, nil),
					start:  time.Now(), changed: time.Now(), devices: test.devices,
				}
				for !s.due() {
					time.Sleep(100 * time.Millisecond)
					if len(test.changes) > 0 && time.Since(s.start) >= test.changes[0] {
						s.changed, test.changes = time.Now(), test.changes[1:]
					}
				}
				if got := time.Since(s.start); got != test.want {
					t.Errorf("due after %v, want %v", got, test.want)
				}
			})
		})
	}
}

// A stick that is pulled out and put in again is searched again, if it is another one.
func TestForgetWhatIsGone(t *testing.T) {
	s := &search{
		devices:  map[string]error{"/dev/sda": errNotOurs, "/dev/sdb": errNotOurs},
		searched: map[string]error{"/dev/sda": errUnknown, "/dev/sdb": errUnknown},
	}
	s.forget([]string{"/dev/sda"})
	s.devices["/dev/sdb"] = errNotOurs
	if s.searchable("/dev/sda") || !s.searchable("/dev/sdb") {
		t.Errorf("sda, searched already: %v; sdb, new: %v", s.searchable("/dev/sda"), s.searchable("/dev/sdb"))
	}
}

// hang keeps what comes there from going on, as a dying disk does, until the test has ended.
func hang(t *testing.T) func() {
	end := make(chan struct{})
	t.Cleanup(func() { close(end) })
	return func() { <-end }
}

// A disk that is dying keeps whoever mounts it in the kernel for minutes.
func TestFindEndsInTime(t *testing.T) {
	for name, image := range map[string][]byte{
		"the medium": discImage(boot.VolumeID, "b2"), "a file system": fatImage(),
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := newFinder(t, nil, file(t, image))
			f.Patience = time.Hour
			inKernel := hang(t)
			f.Mount = func(string, string) error { inKernel(); return errors.New("I/O error") }
			f.MountHost = func(string, string, readonly.Mount) error { inKernel(); return errors.New("I/O error") }
			done := make(chan error, 1)
			go func() {
				_, err := find(t, f)
				done <- err
			}()
			select {
			case err := <-done:
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "does not answer") {
					t.Errorf("Find = %v, want a deadline that names the silent device", err)
				}
			case <-time.After(time.Minute):
				t.Error("Find waits for the disk without end")
			}
		})
	}
}

// The medium is found behind a dying disk that comes first: one that cannot be mounted, and one that cannot be
// searched.
func TestFindDoesNotWaitForADyingDisk(t *testing.T) {
	ours := discImage(boot.VolumeID, "b2")
	t.Run("a disc", func(t *testing.T) {
		dying, disc := file(t, fatImage()), file(t, ours)
		f, _ := newFinder(t, nil)
		f.Patience = time.Millisecond
		inKernel := hang(t)
		f.MountHost = func(string, string, readonly.Mount) error { inKernel(); return errors.New("I/O error") }
		looks := 0
		f.Devices = func() ([]string, error) {
			if looks++; looks < 3 { // the disk's file system is being searched when the disc comes
				return []string{dying}, nil
			}
			return []string{dying, disc}, nil
		}
		if got, err := f.Find(t.Context(), filepath.Join(t.TempDir(), "medium")); err != nil || got.Device != disc {
			t.Errorf("Find = %v, %v, want %s", got, err, disc)
		}
	})
	t.Run("a file", func(t *testing.T) {
		dying, disk := file(t, fatImage()), file(t, fatImage())
		f, mounts := newFinder(t, map[string]fs.FS{disk: tree(map[string][]byte{"z.iso": ours})}, dying, disk)
		f.Patience = time.Millisecond
		inKernel, hangs, dirs := hang(t), make(chan struct{}), make(chan string, 2)
		f.MountHost = func(device, dir string, how readonly.Mount) error {
			dirs <- dir
			if device == dying {
				close(hangs)
				inKernel()
			}
			<-hangs // however late a busy machine begins with the first
			return mounts.host(device, dir, how)
		}
		got, err := f.Find(t.Context(), filepath.Join(t.TempDir(), "medium"))
		if err != nil || got != (Medium{Device: disk, File: "/z.iso", HostDir: f.HostDir + "-2"}) {
			t.Errorf("Find = %v, %v, want %s", got, err, disk)
		}
		if first, second := <-dirs, <-dirs; first == second {
			t.Errorf("both file systems are mounted at %s", first)
		}
	})
}

// What hung in a mount when Find ended comes back with the medium: nobody wants it any more.
func TestMountThatComesTooLateIsTakenBack(t *testing.T) {
	disk := file(t, fatImage())
	files := tree(map[string][]byte{"z.iso": discImage(boot.VolumeID, "b2")})
	f, mounts := newFinder(t, map[string]fs.FS{disk: files}, disk)
	comesBack := make(chan struct{})
	f.MountISO = func(image *os.File, dir string) error {
		<-comesBack
		return mounts.iso(image, dir)
	}
	unmounted := make(chan string, 2)
	f.Unmount = func(dir string) error {
		defer func() { unmounted <- dir }()
		return mounts.unmount(dir)
	}
	if _, err := find(t, f); err == nil {
		t.Fatal("Find found something")
	}
	close(comesBack)
	for range 2 {
		select {
		case <-unmounted:
		case <-time.After(time.Minute):
			t.Fatal("the medium, or the file system around it, is left mounted")
		}
	}
	mounts.mu.Lock()
	defer mounts.mu.Unlock()
	if len(mounts.at) > 0 {
		t.Errorf("%v was left mounted", mounts.at)
	}
}

func TestFileSystemsAreLeftAlone(t *testing.T) {
	disk := file(t, fatImage())
	f, _ := newFinder(t, map[string]fs.FS{disk: tree(map[string][]byte{"z.iso": discImage(boot.VolumeID, "b2")})}, disk)
	f.SearchISOFiles, f.ISOFile = false, "/z.iso"
	f.MountHost = func(device, _ string, _ readonly.Mount) error {
		t.Errorf("%s is mounted", device)
		return errors.New("not now")
	}
	if got, err := find(t, f); err == nil {
		t.Errorf("Find = %v", got)
	}
}

func TestReasonsNameWhatAPersonCanActOn(t *testing.T) {
	s := &search{
		devices: map[string]error{
			"/dev/sr0": errNoDisc, "/dev/sda": errNotOurs, "/dev/sda1": errNotOurs, "/dev/sda2": errNotOurs,
			"/dev/sdb": errOtherID,
		},
		searched: map[string]error{
			"/dev/sda": errUnknown, "/dev/sda1": notAmong(2, errTooMany),
			"/dev/sda2": errors.New("crypto_LUKS, encrypted, not searched"),
		},
	}
	const want = " (/dev/sda1: none of its ISO files (2) is the medium;" +
		" only the first 20000 names were looked at, say where it is with zerodisc.iso=PATH)" +
		" (/dev/sda2: crypto_LUKS, encrypted, not searched) (/dev/sdb: another zerodisc build) (/dev/sr0: no disc)"
	if got := s.reasons(); got != want {
		t.Errorf("reasons:\n%s\nwant\n%s", got, want)
	}
}

func FuzzVolumeID(f *testing.F) {
	f.Add([]byte("\x01CD001\x01\x00"))
	f.Fuzz(func(t *testing.T, descriptor []byte) {
		name := file(t, append(make([]byte, volumeDescriptors), descriptor...))
		if label, err := volumeID(name); err == nil && len(label) > 32 {
			t.Errorf("label of %d bytes", len(label))
		}
	})
}
