package statefile

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/devmapper"
	"github.com/zerodisc/zerodisc/internal/loopdev"
	"github.com/zerodisc/zerodisc/internal/testns"
)

const mib = 1 << 20

func TestCheck(t *testing.T) {
	whole := []Extent{{0, 4096, 8192}, {8192, 12288, 4096}, {12288, 65536, 4096}}
	for _, test := range []struct {
		name    string
		extents []Extent
		want    []Extent
		err     string
	}{
		{name: "whole", extents: whole, want: []Extent{{0, 4096, 12288}, {12288, 65536, 4096}}},
		{name: "the end is missing", extents: whole[:2], err: "not all of it"},
		{name: "nothing", err: "not all of it"},
		{name: "a hole", extents: []Extent{{0, 4096, 4096}, {8192, 65536, 8192}}, err: "not all of it"},
		{name: "no block", extents: []Extent{{0, 0, 16384}}, err: "not all of it"},
		{name: "past the end", extents: []Extent{{0, 1<<20 - 8192, 16384}}, err: "lies outside"},
		{name: "far past the end", extents: []Extent{{0, 1<<63 - 512, 16384}}, err: "lies outside"},
		{name: "before the beginning", extents: []Extent{{0, -512, 16384}}, err: "lies outside"},
		{name: "too long", extents: []Extent{{0, 512, 1<<63 - 512}}, err: "lies outside"},
		{name: "crooked", extents: []Extent{{0, 100, 16384}}, err: "lies outside"},
		{name: "twice", extents: []Extent{{0, 65536, 8192}, {8192, 61440, 8192}}, err: "in one place"},
	} {
		got, err := check(test.extents, 16000, 1<<20)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: %v, want %q", test.name, err, test.err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %v, %v", test.name, got, err)
		}
	}
	var many []Extent
	for i := range int64(maxExtents + 1) {
		many = append(many, Extent{i * 512, (i + 1) * 1024, 512})
	}
	if _, err := check(many, int64(len(many))*512, 1<<40); err == nil || !strings.Contains(err.Error(), "pieces") {
		t.Error(err)
	}
}

// The device ends with the last whole block of the file.
func TestTable(t *testing.T) {
	got := table([]Extent{{0, 4096, 12288}, {12288, 65536, 8192}, {20480, 512, 4096}}, 20000, "/dev/loop1")
	want := []devmapper.Target{
		{Start: 0, Length: 24, Type: "linear", Params: "/dev/loop1 8"},
		{Start: 24, Length: 8, Type: "linear", Params: "/dev/loop1 128"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

// TestClean lets the real programs make file systems, and notes in them that they are in use as their drivers do.
func TestClean(t *testing.T) {
	for _, test := range []struct {
		name, kind string
		size       int64
		command    []string
		marks      []mark // one at a time
	}{
		{"FAT12", "vfat", 2 * mib, []string{"mkfs.vfat", "-F", "12"}, []mark{{0x25, 1}}},
		// The FAT is behind one reserved sector, by mkfs.vfat's choice four on this size.
		{"FAT16", "vfat", 32 * mib, []string{"mkfs.vfat", "-F", "16", "-R", "4"},
			[]mark{{0x25, 1}, {4*512 + 3, 0x80}, {4*512 + 3, 0x40}}},
		{"FAT32", "vfat", 64 * mib, []string{"mkfs.vfat", "-F", "32", "-R", "32"},
			[]mark{{0x41, 1}, {32*512 + 7, 0x08}, {32*512 + 7, 0x04}}},
		{"exFAT", "exfat", 16 * mib, []string{"mkfs.exfat"}, []mark{{106, 2}, {106, 4}}},
		{"ext4", "ext4", 16 * mib, []string{"mke2fs", "-q", "-F", "-t", "ext4"},
			[]mark{{1024 + 58, 1}, {1024 + 58, 2}, {1024 + 96, 4}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			image := emptyFile(t, test.size)
			tool(t, test.command[0], append(test.command[1:], image)...)
			data, err := os.ReadFile(image)
			if err != nil {
				t.Fatal(err)
			}
			if err := Clean(bytes.NewReader(data), test.kind); err != nil {
				t.Errorf("a new one: %v", err)
			}
			for _, m := range test.marks {
				data[m.at] ^= m.bits
				if err := Clean(bytes.NewReader(data), test.kind); !errors.Is(err, ErrUnclean) {
					t.Errorf("with bits %#x at %#x: %v", m.bits, m.at, err)
				}
				data[m.at] ^= m.bits
			}
			if err := Clean(bytes.NewReader(data[:80]), test.kind); err == nil || errors.Is(err, ErrUnclean) {
				t.Errorf("cut short: %v", err)
			}
		})
	}
}

// mark is bits that change.
type mark struct {
	at   int
	bits byte
}

func FuzzClean(f *testing.F) {
	f.Add("vfat", make([]byte, 1024))
	f.Add("ext4", make([]byte, 2048))
	f.Add("exfat", make([]byte, 512))
	f.Fuzz(func(t *testing.T, kind string, data []byte) {
		if Holds(kind) {
			_ = Clean(bytes.NewReader(data), kind)
		}
	})
}

func FuzzParseFiemap(f *testing.F) {
	answer := make([]byte, fiemapBytes+2*fiemapExtentBytes)
	answer[20], answer[fiemapBytes+17] = 1, 16
	f.Add(answer)
	f.Fuzz(func(t *testing.T, answer []byte) {
		if len(answer) < fiemapBytes {
			return
		}
		extents, err := parseFiemap(answer)
		if err == nil {
			_, _ = check(extents, 1<<20, 1<<30)
		}
	})
}

// TestExtentsOfARealFile finds a file in pieces in a real file system, and reads it past the file system.
func TestExtentsOfARealFile(t *testing.T) {
	testns.RunAsRoot(t, syscall.CLONE_NEWNS, func(t *testing.T) {
		for _, kind := range []string{"ext4", "vfat", "exfat"} {
			t.Run(kind, func(t *testing.T) { extentsOfARealFile(t, kind) })
		}
	})
}

func extentsOfARealFile(t *testing.T, kind string) {
	image := emptyFile(t, 96*mib)
	tool(t, map[string]string{"ext4": "mke2fs", "vfat": "mkfs.vfat", "exfat": "mkfs.exfat"}[kind], image)
	loop := attach(t, image)
	dir := t.TempDir()
	err := unix.Mount(loop.Name(), dir, kind, 0, "")
	if errors.Is(err, unix.ENODEV) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	content := make([]byte, 5*mib+100)
	_, _ = rand.Read(content)
	file := writeInPieces(t, dir, content)
	extents, err := extentsOf(file, kind, int64(len(content)), func() {})
	if err == nil {
		extents, err = check(extents, int64(len(content)), 96*mib)
	}
	if err == nil {
		err = compare(file, loop, extents)
	}
	if err != nil || len(extents) < 2 {
		t.Fatalf("%v, %v", extents, err)
	}
	file.Close()
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	var read []byte
	for _, e := range extents {
		piece := make([]byte, e.Length)
		if _, err := loop.ReadAt(piece, e.Physical); err != nil {
			t.Fatal(err)
		}
		read = append(read, piece...)
	}
	if !bytes.Equal(read[:len(content)], content) {
		t.Error("the file is not where its file system said")
	}
	if id, err := Find(loop.Name(), kind); err != nil || id == "" {
		t.Errorf("%q, %v", id, err)
	}
	if _, _, err := Open(loop.Name(), kind, false, nil); err == nil || !strings.Contains(err.Error(), "does not hold") {
		t.Errorf("what is no file system: %v", err)
	}
}

// writeInPieces writes a file and another one side by side.
func writeInPieces(t *testing.T, dir string, content []byte) *os.File {
	t.Helper()
	file, err := os.Create(filepath.Join(dir, Name))
	other, err2 := os.Create(filepath.Join(dir, "other"))
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for at := 0; at < len(content); at += mib {
		piece := content[at:min(at+mib, len(content))]
		_, err := file.Write(piece)
		_, err2 := other.Write(piece)
		if err := errors.Join(err, err2, file.Sync(), other.Sync()); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

func TestFindWithoutTheFile(t *testing.T) {
	testns.RunAsRoot(t, syscall.CLONE_NEWNS, func(t *testing.T) {
		image := emptyFile(t, 16*mib)
		tool(t, "mke2fs", "-q", "-F", "-t", "ext4", image)
		loop := attach(t, image)
		if id, err := Find(loop.Name(), "ext4"); id != "" || err != nil {
			t.Errorf("%q, %v", id, err)
		}
		if _, _, err := Open(loop.Name(), "ext4", false, nil); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
}

// TestHoles has a file that ext4 has room for and that was not written to.
func TestHoles(t *testing.T) {
	testns.RunAsRoot(t, syscall.CLONE_NEWNS, func(t *testing.T) {
		image := emptyFile(t, 32*mib)
		tool(t, "mke2fs", "-q", "-F", "-t", "ext4", image)
		loop, dir := attach(t, image), t.TempDir()
		if err := unix.Mount(loop.Name(), dir, "ext4", 0, ""); err != nil {
			t.Skip(err)
		}
		file, err := os.Create(filepath.Join(dir, Name))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = errors.Join(file.Close(), unix.Unmount(dir, 0)) }()
		if err := errors.Join(file.Truncate(2*mib), unix.Fallocate(int(file.Fd()), 0, 0, mib)); err != nil {
			t.Fatal(err)
		}
		for _, size := range []int64{mib, 2 * mib} {
			extents, err := extentsOf(file, "ext4", size, nil)
			if err == nil {
				_, err = check(extents, size, 32*mib)
			}
			if !errors.Is(err, errHoles) {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
	})
}

func emptyFile(t *testing.T, size int64) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk.img")
	if err := errors.Join(os.WriteFile(name, nil, 0o600), os.Truncate(name, size)); err != nil {
		t.Fatal(err)
	}
	return name
}

// attach makes a file a block device.
func attach(t *testing.T, name string) *os.File {
	t.Helper()
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	loop, err := loopdev.Open(file, false)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { loop.Close() })
	return loop
}

// tool runs a program of the host's, and skips the test where there is none.
func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + name); err != nil {
			t.Skip(err)
		}
	}
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}
