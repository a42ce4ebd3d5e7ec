package diskimage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
)

// From Microsoft's "Virtual Hard Disk Image Format Specification" of 2006. All numbers are big-endian.
const (
	vhdFooterBytes  = 512
	vhdFooterCookie = "conectix"
	vhdHeaderBytes  = 1024 // of the dynamic disk header
	vhdHeaderCookie = "cxsparse"

	vhdFixed, vhdDynamic, vhdDifferencing = 2, 3, 4

	vhdMaxSize      = 2040 << 30 // bytes
	vhdMaxGeometry  = 65535 * 16 * 255
	vhdLocators     = 8
	maxLocatorBytes = 4 << 10
)

// vhdFooter is what matters of the footer.
type vhdFooter struct {
	kind   uint32
	size   int64  // bytes of the disk
	header uint64 // offset of the dynamic disk header
	id     [16]byte
}

// readVHDFooter reads the footer at the end of the file. A growing image also has it at the beginning, and that is
// used where the end was lost. The end comes first: the guest can write what it likes to the beginning of a fixed
// disk.
func readVHDFooter(f *file) (*vhdFooter, error) {
	if f.size < vhdFooterBytes {
		return nil, f.errorf("the file has only %d bytes: not all of it was copied", f.size)
	}
	var b [vhdFooterBytes]byte
	if _, err := f.read(b[:], f.size-vhdFooterBytes); err != nil {
		return nil, err
	}
	footer, problem := parseVHDFooter(b[:])
	if problem == nil {
		return footer, nil
	}
	if _, err := f.read(b[:], 0); err != nil {
		return nil, err
	}
	if footer, err := parseVHDFooter(b[:]); err == nil && footer.kind != vhdFixed {
		return footer, nil
	}
	return nil, f.errorf("%w", problem)
}

func parseVHDFooter(b []byte) (*vhdFooter, error) {
	if string(b[:8]) != vhdFooterCookie {
		return nil, errors.New("the file does not end with the footer of a VHD: " +
			"it is no VHD (qemu-img info says what it is), or not all of it was copied")
	}
	if vhdSum(b, 64) != binary.BigEndian.Uint32(b[64:]) {
		return nil, errors.New("the footer is damaged: its checksum is wrong")
	}
	footer := &vhdFooter{
		kind: binary.BigEndian.Uint32(b[60:]), header: binary.BigEndian.Uint64(b[16:]), id: [16]byte(b[68:84]),
	}
	size := vhdSize(b)
	switch {
	case footer.kind < vhdFixed || footer.kind > vhdDifferencing:
		return nil, fmt.Errorf("a VHD of type %d; known are fixed, dynamic and differencing disks", footer.kind)
	case size > vhdMaxSize:
		return nil, fmt.Errorf("the footer is damaged: a disk of %d bytes", size)
	}
	footer.size = int64(size)
	return footer, nil
}

// vhdSize returns the size of the disk in bytes. Virtual PC and QEMU before 2.0 rounded it: their guests see what the
// geometry says, unless that is the largest there is. All others mean the field that is called the current size.
func vhdSize(footer []byte) uint64 {
	current := binary.BigEndian.Uint64(footer[48:])
	sectors := uint64(binary.BigEndian.Uint16(footer[56:])) * uint64(footer[58]) * uint64(footer[59])
	creator := string(footer[28:32])
	if (creator == "vpc " || creator == "qemu") && sectors != vhdMaxGeometry {
		return sectors * 512
	}
	return current
}

// vhdSum is the one's complement of the sum of all bytes but those of the sum itself, which begins at sumAt.
func vhdSum(b []byte, sumAt int) uint32 {
	var sum uint32
	for i, c := range b {
		if i < sumAt || i >= sumAt+4 {
			sum += uint32(c)
		}
	}
	return ^sum
}

// vhdHeader is what matters of the dynamic disk header.
type vhdHeader struct {
	table     int64 // offset of the block allocation table
	blockSize int64 // bytes

	parentID   [16]byte
	parentName string
	locators   []byte
}

// readVHDHeader reads the header of a growing disk that has the given size.
func readVHDHeader(f *file, footer *vhdFooter) (*vhdHeader, error) {
	if footer.header > uint64(f.size) {
		return nil, f.errorf("the footer is damaged: a header at offset %d, but the file has %d bytes",
			footer.header, f.size)
	}
	b := make([]byte, vhdHeaderBytes)
	if _, err := f.read(b, int64(footer.header)); err != nil {
		return nil, err
	}
	if string(b[:8]) != vhdHeaderCookie || vhdSum(b, 36) != binary.BigEndian.Uint32(b[36:]) {
		return nil, f.errorf("the header is damaged: its checksum is wrong")
	}
	table, entries := binary.BigEndian.Uint64(b[16:]), int64(binary.BigEndian.Uint32(b[28:]))
	h := &vhdHeader{blockSize: int64(binary.BigEndian.Uint32(b[32:])), parentID: [16]byte(b[40:56])}
	if h.blockSize < 512 || h.blockSize&(h.blockSize-1) != 0 {
		return nil, f.errorf("the header is damaged: blocks of %d bytes", h.blockSize)
	}
	needed := (footer.size + h.blockSize - 1) / h.blockSize
	switch {
	case needed > entries:
		return nil, f.errorf("the header is damaged: %d blocks of %d bytes for a disk of %d bytes",
			entries, h.blockSize, footer.size)
	case table%512 != 0:
		return nil, f.errorf("the header is damaged: a block allocation table at offset %d", table)
	case table > uint64(f.size) || int64(table)+4*needed > f.size:
		return nil, f.beyond("the end of the block allocation table, which is", int64(min(table, 1<<62)))
	}
	h.table, h.parentName, h.locators = int64(table), utf16Text(binary.BigEndian, b[64:576]), b[576:768]
	return h, nil
}

// parent returns what a differencing disk is based on. Its header has the parent's path in several forms, of which
// only the relative one can lead to a file here. Where that fails, a file with the parent's name is looked for: the
// parent is only accepted if it has the unique id that the header names.
func (h *vhdHeader) parent(f *file) (*base, error) {
	relative, err := h.relativeParent(f)
	if err != nil {
		return nil, err
	}
	b := &base{format: "vhd"}
	if relative != "" {
		b.names = append(b.names, f.sibling(relative))
	}
	name := baseName(h.parentName)
	if name != "." && name != "/" {
		b.names = append(b.names, f.sibling(name))
	}
	if len(b.names) == 0 {
		return nil, f.errorf("a differencing disk that does not say what its parent is called")
	}
	b.remedy = "it is the parent of " + f.String() + ": put it into the same directory"
	b.accept = func(parent *file, l layer) error {
		if l.(*vhd).id != h.parentID {
			return fmt.Errorf("%s is not the disk that %s was made from, only one of the same name: "+
				"its unique id is another", parent, f)
		}
		return nil
	}
	return b, nil
}

// relativeParent returns the parent's path relative to the disk, "" where none is recorded that can be followed here.
func (h *vhdHeader) relativeParent(f *file) (string, error) {
	for i := range vhdLocators {
		locator := h.locators[i*24:]
		size, at := binary.BigEndian.Uint32(locator[8:]), binary.BigEndian.Uint64(locator[16:])
		if string(locator[:4]) != "W2ru" || size == 0 {
			continue
		}
		if size > maxLocatorBytes || at > uint64(f.size) {
			return "", f.errorf("the header is damaged: the path of the parent has %d bytes at offset %d", size, at)
		}
		b := make([]byte, size)
		if _, err := f.read(b, int64(at)); err != nil {
			return "", err
		}
		path := strings.ReplaceAll(utf16Text(binary.LittleEndian, b), `\`, "/")
		path = strings.TrimPrefix(path, "./")
		if path == "" || path[0] == '/' || strings.Contains(path, ":") {
			return "", nil // absolute all the same
		}
		return path, nil
	}
	return "", nil
}

// utf16Text decodes text that ends at a NUL or with b.
func utf16Text(order binary.ByteOrder, b []byte) string {
	var units []uint16
	for ; len(b) >= 2; b = b[2:] {
		unit := order.Uint16(b)
		if unit == 0 {
			break
		}
		units = append(units, unit)
	}
	return string(utf16.Decode(units))
}
