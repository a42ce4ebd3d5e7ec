package checksum

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"
)

// medium is a disc with three files and their list.
func medium() fstest.MapFS {
	files := fstest.MapFS{
		"boot/vmlinuz":    {Data: []byte("kernel")},
		"boot/initrd.img": {Data: bytes.Repeat([]byte("initrd"), 3*blockSize/6)},
		"guests/a/a.cfg":  {Data: nil},
	}
	var list strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&list, "%x  ./%s\n", sha256.Sum256(files[name].Data), name)
	}
	files["SHA256SUMS"] = &fstest.MapFile{Data: []byte(list.String())}
	return files
}

// unreadable is a medium on which some files cannot be read any further than the first block.
type unreadable struct {
	fs.FS
	names []string
}

func (u unreadable) Open(name string) (fs.File, error) {
	file, err := u.FS.Open(name)
	if err == nil && slices.Contains(u.names, name) {
		return &brokenFile{File: file}, nil
	}
	return file, err
}

func (u unreadable) ReadDir(name string) ([]fs.DirEntry, error) {
	if slices.Contains(u.names, name) {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: syscall.EIO}
	}
	return fs.ReadDir(u.FS, name)
}

type brokenFile struct {
	fs.File
	reads int
}

func (f *brokenFile) Read(p []byte) (int, error) {
	if f.reads++; f.reads > 1 {
		return 0, syscall.EIO
	}
	return f.File.Read(p)
}

// check runs a check and returns what it said of damaged files.
func check(t *testing.T, medium fs.FS) (Result, map[string]error) {
	t.Helper()
	damaged := map[string]error{}
	c := Checker{Medium: medium, Damaged: func(file string, err error) { damaged[file] = err }}
	result, err := c.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if result.Damaged != len(damaged) {
		t.Errorf("%d damaged, told of %v", result.Damaged, damaged)
	}
	return result, damaged
}

func TestGoodMedium(t *testing.T) {
	result, damaged := check(t, medium())
	want := int64(6 + 3*blockSize/6*6)
	if result.Files != 3 || result.Bytes != want || len(damaged) != 0 || len(result.Unlisted) != 0 {
		t.Errorf("result %+v (want 3 files, %d bytes), damaged %v", result, want, damaged)
	}
}

func TestFlippedBit(t *testing.T) {
	m := medium()
	m["boot/initrd.img"].Data[blockSize+7] ^= 1
	if _, damaged := check(t, m); len(damaged) != 1 || !errors.Is(damaged["boot/initrd.img"], errContents) {
		t.Errorf("damaged %v", damaged)
	}
}

func TestTruncatedFile(t *testing.T) {
	m := medium()
	m["boot/vmlinuz"].Data = m["boot/vmlinuz"].Data[:3]
	if _, damaged := check(t, m); len(damaged) != 1 || damaged["boot/vmlinuz"] == nil {
		t.Errorf("damaged %v", damaged)
	}
}

func TestMissingFile(t *testing.T) {
	m := medium()
	delete(m, "boot/vmlinuz")
	if _, damaged := check(t, m); len(damaged) != 1 || !errors.Is(damaged["boot/vmlinuz"], fs.ErrNotExist) {
		t.Errorf("damaged %v", damaged)
	}
}

func TestReadErrorsDoNotStopTheRest(t *testing.T) {
	m := medium()
	m["boot/vmlinuz"].Data[0] ^= 1
	_, damaged := check(t, unreadable{m, []string{"boot/initrd.img", "guests/a"}})
	if len(damaged) != 3 || !errors.Is(damaged["boot/initrd.img"], syscall.EIO) ||
		!errors.Is(damaged["guests/a"], syscall.EIO) || !errors.Is(damaged["boot/vmlinuz"], errContents) {
		t.Errorf("damaged %v", damaged)
	}
}

func TestUnlistedFilesAreTold(t *testing.T) {
	m := medium()
	m["guests/a/disk.img"] = &fstest.MapFile{}
	if result, _ := check(t, m); !slices.Equal(result.Unlisted, []string{"guests/a/disk.img"}) {
		t.Errorf("unlisted %q", result.Unlisted)
	}
}

func TestListOfNoUse(t *testing.T) {
	for name, test := range map[string]struct {
		list *fstest.MapFile
		want string
	}{
		"missing": {nil, "has no list SHA256SUMS"},
		"empty":   {&fstest.MapFile{}, "it is empty"},
		"damaged": {&fstest.MapFile{Data: []byte("x")}, "line 1"},
		"leads elsewhere": {
			&fstest.MapFile{Data: fmt.Appendf(nil, "%x  ../etc/passwd\n", sha256.Sum256(nil))}, "../etc/passwd",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := medium()
			delete(m, "SHA256SUMS")
			if test.list != nil {
				m["SHA256SUMS"] = test.list
			}
			c := Checker{Medium: m}
			if _, err := c.Run(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
	c := Checker{Medium: unreadable{medium(), []string{"SHA256SUMS"}}}
	if _, err := c.Run(t.Context()); !errors.Is(err, syscall.EIO) {
		t.Errorf("unreadable list: error %v", err)
	}
}

func TestCheckIsCalledOff(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	blocks := 0
	c := Checker{Medium: medium(), Progress: func(Progress) { blocks++; cancel() }}
	result, err := c.Run(ctx)
	if !errors.Is(err, context.Canceled) || result.Damaged != 0 || blocks != 1 {
		t.Errorf("result %+v, error %v after %d blocks", result, err, blocks)
	}
}

// stuck is a medium that answers no more once a file is opened.
type stuck struct {
	fs.FS
	name string
	end  <-chan struct{}
}

func (s stuck) Open(name string) (fs.File, error) {
	if name == s.name {
		<-s.end
		return nil, syscall.EIO
	}
	return s.FS.Open(name)
}

func TestSilentMediumIsGivenUp(t *testing.T) {
	for _, name := range []string{"boot/initrd.img", "SHA256SUMS"} {
		end := make(chan struct{})
		t.Cleanup(func() { close(end) })
		silent := stuck{medium(), name, end}
		c := Checker{
			Medium: silent, Patience: 100 * time.Millisecond,
			Damaged: func(string, error) { t.Error("told after the end") },
		}
		if _, err := c.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "has not answered for 100ms") {
			t.Errorf("%s: error %v", name, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		c.Patience = time.Hour
		if _, err := c.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: error %v, want that of its time", name, err)
		}
	}
}

func TestProgressNeverGoesBack(t *testing.T) {
	m := medium()
	var last Progress
	c := Checker{Medium: unreadable{m, []string{"boot/initrd.img"}}, Progress: func(p Progress) {
		if p.Done < last.Done || p.Done > p.Total || p.Total != int64(6+len(m["boot/initrd.img"].Data)) {
			t.Errorf("%+v after %+v", p, last)
		}
		last = p
	}}
	if _, err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if last.Done != last.Total || last.File != "guests/a/a.cfg" {
		t.Errorf("the last was %+v", last)
	}
}

func TestProgressLine(t *testing.T) {
	const wide = 79
	for _, test := range []struct {
		p     Progress
		width int
		want  string
	}{
		{Progress{}, wide, "  0%  0.0 of 0.0 MB    0.0 MB/s              "},
		{Progress{0, 39e6, time.Second, "a"}, wide, "  0%  0.0 of 39.0 MB    0.0 MB/s              a"},
		{Progress{0, 39e6, time.Minute, "a"}, wide, "  0%  0.0 of 39.0 MB    0.0 MB/s              a"},
		{Progress{19.5e6, 39e6, 10 * time.Second, "boot/initrd.img"}, wide,
			" 50%  19.5 of 39.0 MB    1.9 MB/s   0:10 left  boot/initrd.img"},
		{Progress{38999999, 39e6, 10 * time.Second, "a"}, wide, " 99%  39.0 of 39.0 MB    3.9 MB/s   0:00 left  a"},
		{Progress{39e6, 39e6, 0, "a"}, wide, "100%  39.0 of 39.0 MB    0.0 MB/s              a"},
		{Progress{1e9, 9e9, 100 * time.Second, "guests/with/a/long/name/disk.img"}, 64,
			" 11%  1000.0 of 9000.0 MB   10.0 MB/s  13:20 left  ...e/disk.img"},
		{Progress{0, 1, 0, "a\x1b]0;x\a\x1b[2J"}, wide,
			`  0%  0.0 of 0.0 MB    0.0 MB/s              a\x1b]0;x\a\x1b[2J`},
		{Progress{1e9, 9e9, 100 * time.Second, "guests/a"}, 10,
			" 11%  1000.0 of 9000.0 MB   10.0 MB/s  13:20 left  ..."},
	} {
		if got := test.p.Line(test.width); got != test.want {
			t.Errorf("%+v in %d:\n%q, want\n%q", test.p, test.width, got, test.want)
		}
	}
}
