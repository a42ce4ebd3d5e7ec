// Package statefile makes a block device of a file that holds the state volume, in a file system that belongs to
// somebody else: the FAT or exFAT of a stick, say.
//
// That file system is never mounted for writing. Where the file's data lie is read once, and the device mapper makes
// a device of those parts of the disk: what is written goes into them and nowhere else, so that neither a power cut nor
// the end of the machine can leave the file system unclean. Therefore the file has to be there in full, with all of its
// blocks written once, and in a file system that leaves data where they are and does not check them: FAT, exFAT, ext4.
package statefile

import (
	"errors"
	"fmt"
	"slices"

	"github.com/zerodisc/zerodisc/internal/devmapper"
)

// Name is the file's name. It is in the root of its file system.
const Name = "zerodisc-state.img"

// NamePrefix begins the device mapper's name of such a device.
const NamePrefix = "state-"

// Holds says whether a file system of this type, as package blkid calls it, may hold the file.
func Holds(kind string) bool { return kind == "vfat" || kind == "exfat" || kind == "ext4" }

// Extent is a part of the file and where it lies on its device, in bytes.
type Extent struct{ Logical, Physical, Length int64 }

// Limits. A row of a table takes 300 bytes of the kernel's memory.
const (
	maxExtents  = 4096
	sectorBytes = 512
	blockBytes  = 4096 // of ext4: what is left of the file is not used
)

// errHoles is for a file that is not there in full.
var errHoles = errors.New("not all of it was ever written to: make it anew")

// check joins extents that follow each other, and is an error where they are not all of a file of that many bytes, or
// not all within the device.
func check(extents []Extent, fileBytes, deviceBytes int64) ([]Extent, error) {
	var joined []Extent
	var at int64
	for _, e := range extents {
		if e.Logical != at || e.Length <= 0 || e.Physical == 0 {
			return nil, errHoles
		}
		if e.Physical < 0 || e.Physical%sectorBytes != 0 || e.Length%sectorBytes != 0 ||
			e.Length > deviceBytes || e.Physical > deviceBytes-e.Length {
			return nil, errors.New("its file system is damaged: a part of it lies outside")
		}
		at += e.Length
		if last := len(joined) - 1; last >= 0 && joined[last].Physical+joined[last].Length == e.Physical {
			joined[last].Length += e.Length
			continue
		}
		if joined = append(joined, e); len(joined) > maxExtents {
			return nil, fmt.Errorf("it is in more than %d pieces: copy it to an empty volume", maxExtents)
		}
	}
	if at < fileBytes {
		return nil, errHoles
	}
	return joined, checkApart(joined)
}

// checkApart is an error where two extents share a part of the device.
func checkApart(extents []Extent) error {
	sorted := slices.SortedFunc(slices.Values(extents), func(a, b Extent) int {
		if a.Physical < b.Physical {
			return -1
		}
		return 1
	})
	for i := 1; i < len(sorted); i++ {
		if before := sorted[i-1]; before.Physical+before.Length > sorted[i].Physical {
			return errors.New("its file system is damaged: two parts of it lie in one place")
		}
	}
	return nil
}

// table is the device mapper's table of a file of that many bytes, over the device its file system is on.
func table(extents []Extent, fileBytes int64, device string) []devmapper.Target {
	var rows []devmapper.Target
	left := fileBytes / blockBytes * blockBytes
	for _, e := range extents {
		length := min(e.Length, left)
		if length <= 0 {
			break
		}
		left -= length
		rows = append(rows, devmapper.Target{
			Start: uint64(e.Logical / sectorBytes), Length: uint64(length / sectorBytes),
			Type: "linear", Params: fmt.Sprintf("%s %d", device, e.Physical/sectorBytes),
		})
	}
	return rows
}
