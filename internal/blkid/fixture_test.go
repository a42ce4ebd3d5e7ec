package blkid

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the fixtures anew, from images that the installed programs make")

// sparse is an image of which only rows are kept that are not zero.
type sparse struct {
	size int64
	rows map[int64][]byte // of rowSize, by offset
}

const rowSize = 32

func (s sparse) ReadAt(p []byte, at int64) (int, error) {
	n := min(int64(len(p)), s.size-at)
	if n < 0 {
		return 0, io.EOF
	}
	clear(p)
	for offset, row := range s.rows {
		if offset < at+n && offset+rowSize > at {
			from := max(at-offset, 0)
			copy(p[max(offset-at, 0):n], row[from:])
		}
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// TestFixtures identifies the pieces of real images that are kept in testdata, for machines without the programs that
// make them. Each file has the image's size, what blkid said, and the rows that are read.
func TestFixtures(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(names) < 30 {
		t.Fatalf("%d fixtures, %v", len(names), err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			image, want := readFixture(t, name)
			content, err := Identify(Device{ReaderAt: image, Size: image.size})
			if got := said(content); err != nil || !maps.Equal(got, want) {
				t.Errorf("%v, got  %s\nwant %s", err, sorted(got), sorted(want))
			}
		})
	}
}

func readFixture(t testing.TB, name string) (sparse, map[string]string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	image, want := sparse{rows: map[int64][]byte{}}, map[string]string{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		key, value, isProperty := strings.Cut(line, "=")
		at, row, _ := strings.Cut(line, " ")
		switch {
		case isProperty && key == "size":
			image.size, err = strconv.ParseInt(value, 10, 64)
		case isProperty:
			want[key] = value
		default:
			var offset int64
			offset, err = strconv.ParseInt(at, 16, 64)
			if err == nil {
				image.rows[offset], err = hex.DecodeString(row)
			}
		}
		if err != nil {
			t.Fatalf("%s: %q: %v", name, line, err)
		}
	}
	return image, want
}

// recorder notes what is read.
type recorder struct {
	io.ReaderAt
	rows map[int64]bool
}

func (r recorder) ReadAt(p []byte, at int64) (int, error) {
	for offset := at / rowSize * rowSize; offset < at+int64(len(p)); offset += rowSize {
		r.rows[offset] = true
	}
	return r.ReaderAt.ReadAt(p, at)
}

// writeFixture keeps what is read of the image at path.
func writeFixture(t *testing.T, name, path string, want map[string]string) {
	t.Helper()
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := recorder{bytes.NewReader(image), map[int64]bool{}}
	d := newDisk(Device{ReaderAt: r, Size: int64(len(image))})
	clear(r.rows)
	d.head, d.reads, d.budget = nil, 1<<20, 1<<30 // so that each read shows
	d.identify()
	var b strings.Builder
	fmt.Fprintf(&b, "size=%d\n%s", len(image), strings.ReplaceAll(sorted(want), " ", "\n"))
	for offset := int64(0); offset < int64(len(image)); offset += rowSize {
		row := image[offset:min(offset+rowSize, int64(len(image)))]
		if r.rows[offset] && len(bytes.Trim(row, "\x00")) > 0 {
			fmt.Fprintf(&b, "%x %x\n", offset, row)
		}
	}
	if err := os.WriteFile(filepath.Join("testdata", name+".txt"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
