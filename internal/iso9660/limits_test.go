package iso9660

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// deep is a file that lies so many directories deep.
func deep(depth int) File { return text(strings.Repeat("d/", depth) + "f") }

// long is a file whose path has so many bytes.
func long(size int) File {
	path := strings.Repeat(strings.Repeat("n", 99)+"/", size/100)
	return text(path + strings.Repeat("f", size-len(path)))
}

// TestDepth holds writer and reader to one limit: a disc that was made can be read.
func TestDepth(t *testing.T) {
	for _, test := range []struct {
		name string
		file File
		want string // of the error
	}{
		{"deepest", deep(maxDepth), ""},
		{"too deep", deep(maxDepth + 1), `file "d/d/d/`},
		{"longest path", long(maxPath - 1), ""},
		{"path too long", long(maxPath + 2), `nnn"...: a path of 4002 bytes, at most 4000 can be read`},
	} {
		t.Run(test.name, func(t *testing.T) {
			img := &Image{VolumeID: "X", ModTime: modTime, Files: []File{test.file}, Sums: "SHA256SUMS",
				Structure: "S"}
			var b bytes.Buffer
			_, err := img.Write(t.Context(), &b, nil)
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v, want one with %q", err, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if openBytes(t, b.Bytes()).Lookup(test.file.Path) == nil {
				t.Error("the file is not on the disc")
			}
		})
	}
}

func TestTotals(t *testing.T) {
	for _, test := range []struct {
		name  string
		total totals
		want  string
	}{
		{"small", totals{entries: maxEntries, paths: 1000, bytes: maxOverlap * 1000}, ""},
		{"entries", totals{entries: maxEntries + 1}, "1048577 files and directories"},
		{"paths", totals{paths: 1001}, "paths of all files together have 1001 bytes"},
		{"overlap", totals{bytes: (maxOverlap + 2) * 1000}, "lie in one another"},
	} {
		err := test.total.check(1000)
		if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", test.name, err, test.want)
		}
	}
}

// TestWriteRefusesWhatCannotBeRead: slices need no room, so that only the reader would find too many.
func TestWriteRefusesWhatCannotBeRead(t *testing.T) {
	whole := Bytes(make([]byte, 1<<20))
	img := &Image{VolumeID: "X", ModTime: modTime, Files: []File{{Path: "whole", Content: whole}}}
	for i := range int64(50) {
		img.Files = append(img.Files, File{Path: fmt.Sprint("slice", i), Content: whole.Tail(i * SectorSize)})
	}
	if _, err := img.Layout(); err == nil || !strings.Contains(err.Error(), "lie in one another") {
		t.Errorf("error %v", err)
	}
}

// handmadeFirst is the sector of the first thing in a handmade image.
const handmadeFirst = lbaPrimary + 2

// handmade is an image of things, whole sectors each, one behind the other; the last one is its root directory.
func handmade(things ...[]byte) []byte {
	body := slices.Concat(things...)
	root := uint32(len(things[len(things)-1]))
	sectors := handmadeFirst + uint32(len(body))/SectorSize
	l := &Layout{sectors: sectors, directories: []*node{{lba: sectors - root/SectorSize, size: root}}}
	img := &Image{VolumeID: "X", ModTime: modTime}
	return slices.Concat(make([]byte, SystemAreaSize), l.primary(img), terminator(), body)
}

// sector pads parts to one.
func sector(parts ...[]byte) []byte {
	b := slices.Concat(parts...)
	return zeros(b, SectorSize-len(b))
}

// big7M is the size in bytes of a directory that fills an image.
const big7M = 7 << 20

// fullOf is a directory of that size, full of what make makes.
func fullOf(make func(ident string, i uint32) []byte) []byte {
	b := handRecord(handmadeFirst, 0, flagDirectory, "\x00", sharingProtocol())
	for i := uint32(0); ; i++ {
		r := make(fmt.Sprintf("%X", i), i)
		if used := len(b) % SectorSize; used+len(r) > SectorSize {
			b = zeros(b, SectorSize-used)
		}
		if len(b) == big7M {
			return b
		}
		b = append(b, r...)
	}
}

func handRecord(lba, size uint32, flags byte, ident string, entries []byte) []byte {
	return record(&Image{ModTime: modTime}, lba, size, flags, ident, entries)
}

// hostile are images of 7 MB in which everything is said to be as big as it can be said.
func hostile() map[string][]byte {
	name := func(n int) []byte { return alternateName(strings.Repeat("n", n)) }
	goesOn := func(to uint32) []byte { return continuation(handmadeFirst+to, SectorSize) }
	names := func(n int) []byte { return bytes.Repeat(name(250), n) }
	self := handRecord(handmadeFirst, 0, flagDirectory, "\x00", sharingProtocol())
	same := func(lba, size uint32, flags byte, entries []byte) []byte {
		return fullOf(func(ident string, _ uint32) []byte { return handRecord(lba, size, flags, ident, entries) })
	}
	var nested [][]byte // directories in one another, whose names are as long as they can be
	for i := range uint32(30) {
		nested = append(nested, sector(self, handRecord(handmadeFirst+i+1, SectorSize, flagDirectory, "D", name(128))))
	}
	little.PutUint32(nested[29][len(self)+10:], big7M)
	return map[string][]byte{
		"empty files": handmade(same(0, 0, 0, nil)),
		"long names":  handmade(sector(name(125), name(125)), same(0, 0, 0, goesOn(0))),
		"longest names": handmade(sector(names(7), goesOn(1)), sector(names(7), goesOn(2)),
			sector(names(7)), same(0, 0, 0, goesOn(0))),
		"entries without end": handmade(sector(goesOn(0)), same(0, 0, 0, goesOn(0))),
		"many entries": handmade(sector(goesOn(1)), sector(goesOn(2)), sector(goesOn(3)), sector(nil),
			same(0, 0, 0, goesOn(0))),
		"long paths":        handmade(append(nested, same(0, 0, 0, nil), nested[0])...),
		"empty directories": handmade(sector(self), same(handmadeFirst, 0, flagDirectory, name(128))),
		"one extent":        handmade(same(handmadeFirst, big7M, 0, nil)),
		"many extents": handmade(fullOf(func(ident string, i uint32) []byte {
			return handRecord(handmadeFirst, big7M-i, 0, ident, nil)
		})),
		"parts": handmade(fullOf(func(_ string, i uint32) []byte {
			return handRecord(handmadeFirst+2*i%3000, SectorSize, flagMultiExtent, "A", nil)
		})),
	}
}

// maxAllocated is how many times the size of an image Open may allocate, what it drops again included.
const maxAllocated = 40

func TestOpenBoundsMemory(t *testing.T) {
	for name, image := range hostile() {
		t.Run(name, func(t *testing.T) {
			allocated, disc, err := allocatedBy(image)
			t.Logf("%d bytes for each of the image, %v", allocated/uint64(len(image)), err)
			if limit := maxAllocated * uint64(len(image)); allocated > limit {
				t.Errorf("%d MB were allocated for an image of %d MB, want at most %d MB (error: %v)",
					allocated>>20, len(image)>>20, limit>>20, err)
			}
			if err == nil && len(disc.Files) == 0 {
				t.Error("the image has no files: it tests nothing")
			}
		})
	}
}

// allocatedBy opens an image and returns how many bytes that allocated. Nothing else may run meanwhile.
func allocatedBy(image []byte) (uint64, *Disc, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	disc, err := Open(bytes.NewReader(image), int64(len(image)))
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc, disc, err
}
