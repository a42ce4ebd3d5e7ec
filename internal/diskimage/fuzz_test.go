package diskimage

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// fuzz lets f's target open images of a format: the file disk, next to which there is a file base. Whatever they
// hold, every run is inside of its file, the ways to read agree, and what goes wrong is said in a line that can be
// printed.
func fuzz(f *testing.F, format string) {
	dir := f.TempDir() // one for all: to make one each time takes longer than the rest
	f.Fuzz(func(t *testing.T, disk, base []byte) {
		write(t, dir, "disk", disk)
		write(t, dir, "base", base)
		i, err := tryOpen(t, dir, "disk", format)
		if err != nil {
			checkError(t, err)
			return
		}
		defer i.Close()
		files := map[string]int64{"disk": int64(len(disk)), "base": int64(len(base))}
		for _, name := range i.Files() {
			if _, ok := files[name]; !ok {
				t.Errorf("%q was opened", name)
			}
		}
		for at, step := int64(0), 0; at < i.Size() && step < 200; step++ {
			at += exercise(t, i, at)
		}
		for _, at := range []int64{i.Size() / 3, i.Size() / 2, i.Size() - 512, i.Size() - 1} {
			if at >= 0 && at < i.Size() {
				exercise(t, i, at)
			}
		}
	})
}

// exercise looks up and reads what is at an offset. It returns how far to go from there.
func exercise(t *testing.T, i *Image, at int64) int64 {
	t.Helper()
	run, err := i.Lookup(at, 1<<62)
	if err != nil {
		checkError(t, err)
		return 4096
	}
	if run.Length < 1 || run.Length > i.Size()-at {
		t.Fatalf("look up %d of %d: %+v", at, i.Size(), run)
	}
	got := make([]byte, min(run.Length, 3000))
	_, err = i.ReadAt(got, at)
	switch run.Kind {
	case Data:
		info, statErr := run.File.Stat()
		if statErr != nil || run.Offset < 0 || run.Offset+run.Length > info.Size() {
			t.Fatalf("look up %d: %+v, but the file has %d bytes, %v", at, run, info.Size(), statErr)
		}
		want := make([]byte, len(got))
		if _, readErr := run.File.ReadAt(want, run.Offset); err != nil || readErr != nil || !bytes.Equal(got, want) {
			t.Fatalf("read at %d: %v, %v: %x, want %x", at, err, readErr, got, want)
		}
	case Zero:
		if err != nil || !bytes.Equal(got, make([]byte, len(got))) {
			t.Fatalf("read zeros at %d: %x, %v", at, got, err)
		}
	case Packed:
		if err != nil {
			checkError(t, err)
		}
	default:
		t.Fatalf("look up %d: %+v", at, run)
	}
	return run.Length
}

func checkError(t *testing.T, err error) {
	t.Helper()
	if text := err.Error(); errors.Is(err, io.EOF) || text != printable.Line(text) || len(text) > 5000 {
		t.Errorf("error %q", text)
	}
}

func FuzzQCOW2(f *testing.F) {
	for _, g := range golden {
		if g.format == "qcow2" {
			f.Add(goldenFile(f, g.name), goldenFile(f, "zlib.qcow2"))
		}
	}
	f.Add(qcow2On("base", "raw"), content(3000))
	f.Add(qcow2On("base", "qcow2"), goldenFile(f, "v2.qcow2"))
	f.Add(qcow2On("base", "vpc"), testVHD{disk: content(2048)}.bytes())
	f.Add(qcow2On("base", "vmdk"), sparseVMDK())
	f.Add(qcow2On("disk", "qcow2"), []byte(nil))
	fuzz(f, "qcow2")
}

func FuzzVHD(f *testing.F) {
	_, images := family()
	images[1].parentName, images[2].parentName, images[2].relative = "base", `x\base`, "base"
	for n := range images {
		images[n].disk = images[n].disk[:20<<10]
		images[n].blockSize = 4096
		f.Add(images[n].bytes(), images[max(0, n-1)].bytes())
	}
	f.Add(slices.Concat(content(5000), footerOf(5000, vhdFixed, 1<<64-1, 1)), []byte(nil))
	f.Add(goldenFile(f, "fixed.vhd"), []byte(nil))
	fuzz(f, "vhd")
}

func FuzzVMDK(f *testing.F) {
	f.Add(sparseVMDK(), []byte(nil))
	f.Add(goldenFile(f, "stream.vmdk"), []byte(nil))
	f.Add(goldenFile(f, "sparse.vmdk"), []byte(nil))
	f.Add([]byte("# Disk DescriptorFile\nRW 8 SPARSE \"base\"\nRW 3 ZERO\nRW 2 FLAT \"base\" 1\n"), sparseVMDK())
	f.Add([]byte("# Disk DescriptorFile\nRW 500 SPARSE \"base\"\n"), goldenFile(f, "stream.vmdk"))
	fuzz(f, "vmdk")
}
