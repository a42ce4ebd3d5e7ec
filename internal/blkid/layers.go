package blkid

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// findLUKS recognises the first header of LUKS 1 and 2 (LUKS2 On-Disk Format Specification, 2.1).
func findLUKS(d *disk) (Content, bool) {
	h := d.at(0, 512)
	if !h.has(0, "LUKS\xba\xbe") {
		return Content{}, false
	}
	version := h.be16(6)
	content := Content{Version: fmt.Sprint(version)}
	switch version {
	case 1:
		content.UUID = h.text(168, 40)
	case 2:
		if h.be64(256) != 0 { // says that it is somewhere else
			return Content{}, false
		}
		content.UUID, content.Label = h.text(168, 40), h.text(24, 48)
	}
	return content, true
}

// bitLockerHeads are the beginnings of BitLocker's volumes, and where each has the offset of its metadata. Vista's has
// none (libbde, BitLocker Drive Encryption format, 3).
var bitLockerHeads = []struct {
	text     string
	metadata int // 0: there is nothing more to read
}{
	{"\xeb\x52\x90-FVE-FS-", 0},
	{"\xeb\x58\x90-FVE-FS-", 176},
	{"\xeb\x58\x90MSWIN4.1", 440}, // "to go": looks like FAT32
}

// bitLocker finds where the metadata of a BitLocker volume is.
func (d *disk) bitLocker() (metadata uint64, ok bool) {
	b := d.at(0, 512)
	for _, head := range bitLockerHeads {
		if !b.has(0, head.text) {
			continue
		}
		if head.metadata == 0 {
			return 0, true
		}
		at := b.u64(head.metadata)
		return at, at != 0 && at%64 == 0 && d.has(at, "-FVE-FS-")
	}
	return 0, false
}

// isBitLocker keeps a BitLocker volume from being taken for FAT or NTFS, whose boot sector it has.
func (d *disk) isBitLocker() bool {
	_, ok := d.bitLocker()
	return ok
}

func findBitLocker(d *disk) (Content, bool) {
	const blockHeader, header, maxSize = 64, 48, 64 << 10
	at, ok := d.bitLocker()
	if !ok || at == 0 {
		return Content{}, ok
	}
	b := d.at(at, blockHeader+header)
	if b == nil {
		return Content{}, false
	}
	content := Content{Version: fmt.Sprint(b.u16(10)), UUID: b[blockHeader:].guid(16)}
	size := b[blockHeader:].u32(0)
	if size < header || size > maxSize {
		return content, true
	}
	if entries := d.at(at+blockHeader, int(size)); entries != nil {
		content.Label = bitLockerLabel(entries[header:])
	}
	return content, true
}

// bitLockerLabel finds the volume's description among the entries of its metadata.
func bitLockerLabel(entries block) string {
	const head, description, text = 8, 7, 2
	for len(entries) >= head {
		size := int(entries.u16(0))
		if size < head || size > len(entries) {
			break
		}
		if entries.u16(2) == description && entries.u16(4) == text {
			return entries.utf16(binary.LittleEndian, head, size-head)
		}
		entries = entries[size:]
	}
	return ""
}

// findLVM looks for the label of a physical volume, which is in one of the first four sectors (lvm2,
// lib/label/label.h).
func findLVM(d *disk) (Content, bool) {
	const sector, sumAt, summed, sumStart = 512, 16, 20, 0xf597a6cf
	for n := range uint64(4) {
		label := d.at(n*sector, sector)
		if !label.has(0, "LABELONE") || !label.has(24, "LVM2 001") {
			continue
		}
		if label.u64(8) != n || rawCRC32(sumStart, label[summed:]) != label.u32(sumAt) {
			continue
		}
		return Content{Version: "LVM2 001", UUID: lvmUUID(label[32:64])}, true
	}
	return Content{}, false
}

// lvmUUID writes LVM's id of 32 characters in groups, as its programs do.
func lvmUUID(id block) string {
	var text []byte
	for i, c := range id {
		if slices.Contains([]int{6, 10, 14, 18, 22, 26}, i) {
			text = append(text, '-')
		}
		text = append(text, c)
	}
	return block(text).text(0, len(text))
}
