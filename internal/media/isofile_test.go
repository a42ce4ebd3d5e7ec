package media

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/zerodisc/zerodisc/boot"
)

// tree makes a file system of files.
func tree(files map[string][]byte) fs.FS {
	m := fstest.MapFS{}
	for name, content := range files {
		m[name] = &fstest.MapFile{Data: content, Mode: 0o644}
	}
	return m
}

func TestFindTheISOFile(t *testing.T) {
	ours, older, other := discImage(boot.VolumeID, "b2"), discImage(boot.VolumeID, "b1"), discImage("DEBIAN", "")
	for _, test := range []struct {
		name  string
		named string // by the boot loader
		files map[string][]byte
		want  string
	}{
		{"in the root", "", map[string][]byte{"zerodisc.iso": ours}, "/zerodisc.iso"},
		{"in a directory, capitals", "",
			map[string][]byte{"Users/ann/Downloads/ZERODISC.ISO": ours}, "/Users/ann/Downloads/ZERODISC.ISO"},
		{"beside others", "", map[string][]byte{
			"a.iso": other, "b.iso": older, "isos/c.iso": ours, "short.iso": []byte("x"), "dir.iso/x": nil,
		}, "/isos/c.iso"},
		{"too deep", "", map[string][]byte{"1/2/3/4/zerodisc.iso": ours}, ""},
		{"too deep, but named", "/1/2/3/4/z.iso", map[string][]byte{"1/2/3/4/z.iso": ours}, "/1/2/3/4/z.iso"},
		{"named, without .iso", "boot/zerodisc.img",
			map[string][]byte{"boot/zerodisc.img": ours, "a.iso": ours}, "/boot/zerodisc.img"},
		{"named, moved since", "/old.iso", map[string][]byte{"isos/new.iso": ours}, "/isos/new.iso"},
		{"named outside", "/../../z.iso", map[string][]byte{"z.iso": ours}, "/z.iso"},
		{"named nothing", "/", map[string][]byte{"z.iso": ours}, "/z.iso"},
		{"not called .iso", "", map[string][]byte{"zerodisc": ours}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			device := file(t, fatImage())
			f, mounts := newFinder(t, map[string]fs.FS{device: tree(test.files)}, device)
			f.ISOFile = test.named
			got, err := find(t, f)
			if test.want == "" {
				if err == nil || len(mounts.at) > 0 {
					t.Fatalf("Find = %v, %v, mounted %v; want an error and nothing mounted", got, err, mounts.at)
				}
				return
			}
			if err != nil || got != (Medium{Device: device, File: test.want, HostDir: f.HostDir}) {
				t.Fatalf("Find = %v, %v, want %s", got, err, test.want)
			}
			if len(mounts.at) != 2 {
				t.Errorf("mounted is %v, want the file system and the medium", mounts.at)
			}
		})
	}
}

func TestTheErrorSaysWhatWasSearched(t *testing.T) {
	other, broken, unknown := file(t, fatImage()), file(t, fatImage()), file(t, make([]byte, 128<<10))
	locked, empty := file(t, luksImage()), file(t, fatImage())
	f, mounts := newFinder(t, map[string]fs.FS{
		other: tree(map[string][]byte{
			"debian.iso": discImage("DEBIAN", ""), "isos/old.iso": discImage(boot.VolumeID, "b1"),
		}),
		empty: tree(nil),
	}, other, broken, unknown, locked, empty)
	_, err := find(t, f)
	if err == nil {
		t.Fatal("Find found something")
	}
	for _, want := range []string{
		"build id b2 among 5 devices",
		"(" + other + ": vfat: none of its ISO files (2) is the medium; /isos/old.iso: another zerodisc build)",
		"(" + broken + ": vfat, not searched: bad superblock)",
		"(" + locked + ": crypto_LUKS, encrypted, not searched)",
		"(" + empty + ": vfat: no ISO file in it)",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), unknown) {
		t.Errorf("the error tells of %s, where nothing is:\n%v", unknown, err)
	}
	if len(mounts.at) > 0 {
		t.Errorf("%v was left mounted", mounts.at)
	}
}

// A device that is the medium goes before a file system that was listed earlier.
func TestADiscGoesBeforeAFile(t *testing.T) {
	disk, disc := file(t, fatImage()), file(t, discImage(boot.VolumeID, "b2"))
	files := tree(map[string][]byte{"z.iso": discImage(boot.VolumeID, "b2")})
	f, _ := newFinder(t, map[string]fs.FS{disk: files}, disk, disc)
	if got, err := find(t, f); err != nil || got != (Medium{Device: disc}) {
		t.Errorf("Find = %v, %v, want the disc %s", got, err, disc)
	}
}

// Links that lead out of a file system would lead into dom0's, and the open of a pipe waits for ever.
func TestHostileNames(t *testing.T) {
	outside := file(t, discImage(boot.VolumeID, "b2"))
	host := t.TempDir()
	for _, err := range []error{
		os.Symlink(outside, filepath.Join(host, "link.iso")),
		os.Symlink(filepath.Dir(outside), filepath.Join(host, "isos")),
		os.Symlink(".", filepath.Join(host, "loop")),
		syscall.Mkfifo(filepath.Join(host, "pipe.iso"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, named := range []string{"", "/link.iso", "/isos/device", "/pipe.iso", "/loop/loop/pipe.iso"} {
		f, _ := newFinder(t, nil)
		f.ISOFile = named
		if got, err := newSearch(f, t.TempDir()).findISO(t.Context(), host); err == nil {
			t.Errorf("named %q: found %s", named, got)
		}
	}
}

// A file system may call its files whatever it likes, and its errors are shown above a root shell.
func TestNamesInErrorsArePrintable(t *testing.T) {
	disk := file(t, fatImage())
	f, mounts := newFinder(t, map[string]fs.FS{disk: tree(map[string][]byte{
		"a\x1b[2J.iso": discImage(boot.VolumeID, "b2"), "b\x1b]0;x\a.iso": discImage(boot.VolumeID, "b1"),
	})}, disk)
	f.MountISO = func(image *os.File, dir string) error {
		if strings.Contains(image.Name(), "a\x1b") {
			return &fs.PathError{Op: "mount", Path: image.Name(), Err: syscall.EIO}
		}
		return mounts.iso(image, dir)
	}
	_, err := find(t, f)
	if err == nil || strings.ContainsAny(err.Error(), "\x1b\a") ||
		!strings.Contains(err.Error(), `/a\x1b[2J.iso: input/output error`) {
		t.Errorf("Find = %q", err)
	}
}

func TestListISOsNearestFirst(t *testing.T) {
	files := fstest.MapFS{}
	for _, name := range []string{
		"b/c/z.iso", "b/a.iso", "z.ISO", "a.txt", "Windows/x.iso", "b/usr/y.iso", "usr/share/x.iso", "1/2/3/4/x.iso",
	} {
		files[name] = &fstest.MapFile{Mode: 0o644}
	}
	got, err := listISOs(t.Context(), files)
	if want := "z.ISO b/a.iso b/c/z.iso b/usr/y.iso"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("listISOs = %q, %v, want %q", got, err, want)
	}
}

func TestListISOsStopsAtItsLimit(t *testing.T) {
	w := walk{fsys: tree(map[string][]byte{"a.iso": nil, "b.iso": nil, "c.iso": nil, "d/e.iso": nil}), left: 4}
	dirs := w.read(".")
	if w.err != nil || len(w.files) != 3 || len(dirs) != 0 {
		t.Fatalf("with 3 names to go: files %q, directories %q, %v", w.files, dirs, w.err)
	}
	w.read("d")
	if !errors.Is(w.err, errTooMany) || !strings.Contains(w.err.Error(), boot.KeyISOFile) {
		t.Errorf("at the limit: %v, want an error that names the parameter", w.err)
	}
}

// A directory that cannot be read does not hide the others.
func TestListISOsGoesOnAfterAnError(t *testing.T) {
	got, err := listISOs(t.Context(), brokenDir{tree(map[string][]byte{"bad/a.iso": nil, "good/b.iso": nil})})
	if len(got) != 1 || got[0] != "good/b.iso" || !errors.Is(err, syscall.EIO) {
		t.Errorf("listISOs = %q, %v, want good/b.iso and an I/O error", got, err)
	}
}

// brokenDir is a file system whose directory bad is damaged.
type brokenDir struct{ fs.FS }

func (b brokenDir) Open(name string) (fs.File, error) {
	if name == "bad" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EIO}
	}
	return b.FS.Open(name)
}
