package statefile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// extentsOf finds out where a file of that many bytes lies. ext4 says so by extents, and says which of them were never
// written to; FAT and exFAT are asked for each cluster. asked is called now and then meanwhile.
func extentsOf(file *os.File, kind string, bytes int64, asked func()) ([]Extent, error) {
	if kind == "ext4" {
		return byExtents(file, bytes)
	}
	return byBlocks(file, bytes, asked)
}

// From linux/fiemap.h: the sizes of struct fiemap and struct fiemap_extent, what asks for them, and the flags of an
// extent that is just there: the file's last one, and one that was put together.
const (
	fiemap            = 3<<30 | fiemapBytes<<16 | 'f'<<8 | 11
	fiemapBytes       = 32
	fiemapExtentBytes = 56
	fiemapSync        = 1
	fiemapLast        = 1 << 0
	fiemapMerged      = 1 << 12

	fiemapCount = 256 // that are asked for at a time
)

func byExtents(file *os.File, bytes int64) ([]Extent, error) {
	var extents []Extent
	for at := int64(0); at < bytes; {
		answer := make([]byte, fiemapBytes+fiemapCount*fiemapExtentBytes)
		le := binary.NativeEndian
		le.PutUint64(answer[0:], uint64(at))
		le.PutUint64(answer[8:], uint64(bytes-at))
		le.PutUint32(answer[16:], fiemapSync)
		le.PutUint32(answer[24:], fiemapCount)
		if err := ioctl(file, fiemap, unsafe.Pointer(&answer[0])); err != nil {
			return nil, fmt.Errorf("where it lies: %w", err)
		}
		some, err := parseFiemap(answer)
		if err != nil {
			return nil, err
		}
		if len(some) == 0 || len(extents) > maxExtents {
			break // check says what is wrong
		}
		extents = append(extents, some...)
		at = some[len(some)-1].Logical + some[len(some)-1].Length
	}
	return extents, nil
}

// parseFiemap reads the kernel's answer.
func parseFiemap(answer []byte) ([]Extent, error) {
	le := binary.NativeEndian
	count := le.Uint32(answer[20:])
	if int64(count) > int64(len(answer)-fiemapBytes)/fiemapExtentBytes {
		return nil, errors.New("where it lies: the kernel's answer makes no sense")
	}
	var extents []Extent
	for i := range int(count) {
		b := answer[fiemapBytes+i*fiemapExtentBytes:]
		if le.Uint32(b[40:])&^(fiemapLast|fiemapMerged) != 0 {
			return nil, errHoles
		}
		e := Extent{int64(le.Uint64(b[0:])), int64(le.Uint64(b[8:])), int64(le.Uint64(b[16:]))}
		if e.Logical < 0 || e.Length <= 0 {
			return nil, errors.New("where it lies: the kernel's answer makes no sense")
		}
		extents = append(extents, e)
	}
	return extents, nil
}

// From linux/fs.h.
const (
	fibmap  = 1 // the number of a block of the file becomes that of the device; 0 is none
	figetbs = 2 // how large a block is
)

// maxClusters bounds the time that asking takes: 10 s. After as many as askedEach somebody who waits is told.
const (
	maxClusters = 1 << 24
	askedEach   = 1 << 10
)

func byBlocks(file *os.File, bytes int64, asked func()) ([]Extent, error) {
	var stat unix.Statfs_t
	if err := unix.Fstatfs(int(file.Fd()), &stat); err != nil {
		return nil, err
	}
	var block int32
	if err := ioctl(file, figetbs, unsafe.Pointer(&block)); err != nil {
		return nil, err
	}
	cluster := stat.Bsize
	if block < sectorBytes || cluster < int64(block) || cluster%int64(block) != 0 {
		return nil, fmt.Errorf("clusters of %d bytes, blocks of %d make no sense", cluster, block)
	}
	if bytes/cluster > maxClusters || bytes/int64(block) > math.MaxInt32 {
		return nil, fmt.Errorf("it has more than %d clusters: make it smaller", maxClusters)
	}
	var extents []Extent
	for at := int64(0); at < bytes; at += cluster {
		if at/cluster%askedEach == 0 {
			asked()
		}
		number := int32(at / int64(block))
		if err := ioctl(file, fibmap, unsafe.Pointer(&number)); err != nil {
			return nil, fmt.Errorf("where it lies: %w", err)
		}
		physical := int64(uint32(number)) * int64(block)
		if last := len(extents) - 1; last >= 0 && extents[last].Physical+extents[last].Length == physical {
			extents[last].Length += cluster
			continue
		}
		if extents = append(extents, Extent{at, physical, cluster}); len(extents) > maxExtents || number == 0 {
			break // check says what is wrong
		}
	}
	return extents, nil
}

func ioctl(file *os.File, number uintptr, argument unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), number, uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}
