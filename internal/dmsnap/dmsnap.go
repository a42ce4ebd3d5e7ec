// Package dmsnap reads the store in which the device mapper's snapshots keep what has changed, in the persistent format
// (Linux, drivers/md/dm-snap-persistent.c). All numbers are little-endian. A store is made of chunks:
//
//	0                  header
//	1                  area 0: a table of exceptions, pairs of where a chunk was and where it is now
//	2 ... n+1          what the n exceptions of area 0 are about
//	n+2                area 1, and so on
//
// An exception is written after its data and in one piece, so that what the table has can be relied on at any time.
package dmsnap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

const (
	magic       = 0x70416e53 // "SnAp"
	version     = 1
	headerBytes = 16
	pairBytes   = 16
	sectorBytes = 512
	maxChunk    = 1 << 20 // bytes; the kernel's own limit is far above what anyone uses
)

// Changes are the parts of a disk that differ from what the snapshot was made of.
type Changes struct {
	ChunkBytes int64
	Chunks     []int64 // numbers of the disk's chunks, in their order
}

var errStore = errors.New("this is no store of a snapshot's changes")

// Read reads a store of size bytes that belongs to a disk of diskBytes. What is being written meanwhile is or is not in
// it.
func Read(store io.ReaderAt, size, diskBytes int64) (Changes, error) {
	header := make([]byte, headerBytes)
	if _, err := store.ReadAt(header, 0); err != nil {
		return Changes{}, fmt.Errorf("header of the changes: %w", err)
	}
	number := func(at int) uint32 { return binary.LittleEndian.Uint32(header[at:]) }
	chunk := int64(number(12)) * sectorBytes
	switch {
	case number(0) != magic || number(8) != version:
		return Changes{}, errStore
	case number(4) == 0:
		return Changes{}, errors.New("the kernel has given the changes up: their store was full")
	case chunk < sectorBytes || chunk > maxChunk || chunk&(chunk-1) != 0:
		return Changes{}, errStore
	}
	c := Changes{ChunkBytes: chunk}
	perArea := chunk / pairBytes
	area := make([]byte, chunk)
	for at := chunk; at+chunk <= size; at += (perArea + 1) * chunk {
		if _, err := store.ReadAt(area, at); err != nil {
			return Changes{}, fmt.Errorf("table of the changes: %w", err)
		}
		full, err := c.add(area, diskBytes)
		if err != nil {
			return Changes{}, err
		}
		if !full {
			break
		}
	}
	slices.Sort(c.Chunks)
	c.Chunks = slices.Compact(c.Chunks)
	return c, nil
}

// add adds an area's exceptions, and says whether another area follows.
func (c *Changes) add(area []byte, diskBytes int64) (full bool, err error) {
	last := max(0, diskBytes-1)/c.ChunkBytes + 1
	for ; len(area) > 0; area = area[pairBytes:] {
		was, is := binary.LittleEndian.Uint64(area), binary.LittleEndian.Uint64(area[8:])
		if is == 0 { // where the header is
			return false, nil
		}
		if was >= uint64(last) {
			return false, fmt.Errorf("%w: chunk %d is beyond the disk's end", errStore, was)
		}
		c.Chunks = append(c.Chunks, int64(was))
	}
	return true, nil
}
