package diskimage

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestPages reads all of a file that is larger than what is kept of it, twice, and what is at its end.
func TestPages(t *testing.T) {
	dir := t.TempDir()
	data := content(3<<20 + 100)
	write(t, dir, "file", data)
	f := open(t, dir, "file", "raw").files[0]
	p := new(pages)
	for range 2 {
		for at := int64(0); at+4 <= f.size; at += 1024 {
			got, err := p.view(f, at, 4, "a table")
			if err != nil || len(got) < 4 || int64(len(got)) > pageSize-at%pageSize {
				t.Fatalf("at %d: %d bytes, %v", at, len(got), err)
			}
			compare(t, "page", got, data[at:], int(at))
		}
	}
	if got, err := p.view(f, f.size-3, 4, "a table"); err == nil {
		t.Errorf("beyond the end: %d bytes", len(got))
	}
}

// TestPageAfterError: a page that could not be read is not taken for what it held before.
func TestPageAfterError(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "file", content(4*pageSize))
	f := open(t, dir, "file", "raw").files[0]
	var p page
	if err := p.load(f, 0); err != nil || p.file != f {
		t.Fatalf("%v, file %v", err, p.file)
	}
	if err := os.Truncate(filepath.Join(dir, "file"), pageSize+100); err != nil {
		t.Fatal(err)
	}
	if err := p.load(f, 1); err == nil || p.file != nil {
		t.Errorf("%v, file %v", err, p.file)
	}
}

// TestUnpackerKeeps: what is asked for first is unpacked, then all of it.
func TestUnpackerKeeps(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "zlib.qcow2", goldenFile(t, "zlib.qcow2"))
	i := open(t, dir, "zlib.qcow2", "qcow2")
	var kept []int
	for _, at := range []int64{4096, 4196, 4106} {
		if _, err := i.ReadAt(make([]byte, 20), at); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, len(i.unpacker.recent[0].data))
	}
	if want := []int{20, 4096, 4096}; !slices.Equal(kept, want) {
		t.Errorf("%d bytes are kept, want %d", kept, want)
	}
}
