package lvm

import (
	"encoding/binary"
	"fmt"
	"io"
)

const (
	areaHeader = 512 // bytes at the beginning of a metadata area, which text never wraps into
	areaMagic  = " LVM2 x[5A%r0N*>"
	maxText    = 4 << 20 // bytes of a group's description, which takes about 200 for a volume
)

// readArea reads the metadata in an area of a device of size bytes; nil means that there are none.
//
// The area is a ring of texts behind its header. The header (struct mda_header) has a checksum, a magic, a version,
// the area's own place and size, and where in the area the current text is: offset, size, checksum and flags.
func readArea(device io.ReaderAt, area extent, size uint64) (*group, int, error) {
	if area.size < 2*areaHeader || area.offset > size || area.size > size-area.offset {
		return nil, 0, fmt.Errorf("LVM metadata: an area of %d bytes at %d on a device of %d",
			area.size, area.offset, size)
	}
	header := make([]byte, areaHeader)
	if _, err := device.ReadAt(header, int64(area.offset)); err != nil {
		return nil, 0, fmt.Errorf("read LVM metadata: %w", err)
	}
	text, checksum, err := parseAreaHeader(header, area)
	if err != nil || text.size == 0 {
		return nil, 0, err
	}
	content, err := readRing(device, area, text)
	if err != nil {
		return nil, 0, fmt.Errorf("read LVM metadata: %w", err)
	}
	if got := sum(content); got != checksum {
		return nil, 0, fmt.Errorf("LVM metadata: their checksum is %08x and should be %08x", checksum, got)
	}
	found, err := parseGroup(content)
	if err != nil {
		return nil, 0, fmt.Errorf("LVM metadata: %w", err)
	}
	return found, len(content), nil
}

// parseAreaHeader returns where in the area the current text is.
func parseAreaHeader(b []byte, area extent) (text extent, checksum uint32, err error) {
	const locationAt, ignored = 40, 1
	u64 := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	if string(b[4:20]) != areaMagic {
		return text, 0, fmt.Errorf("LVM metadata: no header at byte %d", area.offset)
	}
	if got, want := sum(b[4:]), binary.LittleEndian.Uint32(b); got != want {
		return text, 0, fmt.Errorf("LVM metadata: the header's checksum is %08x and should be %08x", want, got)
	}
	if version := binary.LittleEndian.Uint32(b[20:]); version != 1 {
		return text, 0, fmt.Errorf("LVM metadata: version %d, want 1", version)
	}
	if u64(24) != area.offset || u64(32) != area.size {
		return text, 0, fmt.Errorf("LVM metadata: the area at byte %d says that it is at byte %d", area.offset, u64(24))
	}
	text = extent{u64(locationAt), u64(locationAt + 8)}
	if text.offset == 0 || binary.LittleEndian.Uint32(b[locationAt+20:])&ignored != 0 {
		return extent{}, 0, nil
	}
	if text.offset < areaHeader || text.offset >= area.size || text.size > area.size-areaHeader || text.size > maxText {
		return text, 0, fmt.Errorf("LVM metadata: %d bytes at %d of an area of %d; at most %d are read",
			text.size, text.offset, area.size, maxText)
	}
	return text, binary.LittleEndian.Uint32(b[locationAt+16:]), nil
}

// readRing reads text from an area. What does not fit in at the end goes on behind the header.
func readRing(device io.ReaderAt, area, text extent) ([]byte, error) {
	content := make([]byte, text.size)
	first := min(text.size, area.size-text.offset)
	if _, err := device.ReadAt(content[:first], int64(area.offset+text.offset)); err != nil {
		return nil, err
	}
	_, err := device.ReadAt(content[first:], int64(area.offset+areaHeader))
	return content, err
}
