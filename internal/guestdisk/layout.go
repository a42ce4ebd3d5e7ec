package guestdisk

import (
	"cmp"
	"os"

	"github.com/zerodisc/zerodisc/internal/diskimage"
)

// kind is where a part of an image comes from.
type kind int

const (
	zeros  kind = iota
	stored      // as it is in one of the image's files
	served      // a program has to make it: it is compressed, or too small a piece to have a row of its own
)

// part is a part of an image. Its length is whole sectors.
type part struct {
	kind          kind
	start, length int64 // bytes of the disk
	file          *os.File
	offset        int64 // in file
}

// A table has at most maxRows, at some 300 bytes of kernel memory each. Of an image in more pieces than maxPieces the
// rest is served as a whole, and of one with more than maxBroken places that cannot be found: it may be made such that
// to look for all of them takes years.
const (
	maxRows   = 4096
	maxPieces = 1 << 16
	maxBroken = 1024
)

// layOut finds out what an image is made of. What cannot be found out, since the image is damaged, is served: the
// guest gets an I/O error there, and nowhere else. damage is the first such place.
func layOut(image Image) (parts []part, damage error) {
	size := image.Size() / sectorBytes * sectorBytes
	broken := 0
	for at := int64(0); at < size; {
		next := part{kind: served, start: at, length: size - at}
		if len(parts) < maxPieces && broken < maxBroken {
			var err error
			if next, err = find(image, at, size); err != nil {
				damage = cmp.Or(damage, err)
				broken++
			}
		}
		parts = add(parts, next)
		at += next.length
	}
	for least := int64(128 << 10); len(parts) > maxRows; least *= 2 {
		parts = coarser(parts, least)
	}
	return parts, damage
}

// find returns the part at a place, and why it cannot be read.
func find(image Image, at, size int64) (part, error) {
	run, err := image.Lookup(at, size-at)
	p := part{kind: served, start: at, length: min(run.Length, size-at) / sectorBytes * sectorBytes}
	switch {
	case err != nil || p.length <= 0:
		p.length = min(size-at, 64<<10) // what comes after it may be found again
	case run.Kind == diskimage.Zero:
		p.kind = zeros
	case run.Kind == diskimage.Data && run.Offset%sectorBytes == 0:
		p.kind, p.file, p.offset = stored, run.File, run.Offset
	}
	return p, err
}

// add appends a part, or makes the last one longer.
func add(parts []part, next part) []part {
	if len(parts) > 0 {
		last := &parts[len(parts)-1]
		goesOn := last.kind == next.kind && last.file == next.file
		if goesOn && (last.kind != stored || last.offset+last.length == next.offset) {
			last.length += next.length
			return parts
		}
	}
	return append(parts, next)
}

// coarser has all parts served that are shorter than least.
func coarser(parts []part, least int64) []part {
	var fewer []part
	for _, p := range parts {
		if p.length < least {
			p = part{kind: served, start: p.start, length: p.length}
		}
		fewer = add(fewer, p)
	}
	return fewer
}
