package blkid

import "fmt"

// The superblock of ext2, ext3 and ext4 (Linux, Documentation/filesystems/ext4/super.rst).
const (
	extAt   = 1024
	extSize = 1024

	extHasJournal   = 0x0004 // compatible features
	extChecksums    = 0x0400 // of those that are compatible for reading
	extFileType     = 0x0002 // incompatible features
	extRecover      = 0x0004
	extJournalOnly  = 0x0008
	extMetaGroups   = 0x0010
	ext64Bit        = 0x0080
	extReadByOthers = 0x0001 | 0x0002 | 0x0004 // compatible for reading, known before ext4

	extMaxScale = 6 // 1 KiB << 6 is the largest block
)

// findExt tells ext2, ext3 and ext4 apart as their drivers would: by the least that knows all features.
func findExt(d *disk) (Content, bool) {
	sb := d.at(extAt, extSize)
	if !sb.has(0x38, "\x53\xef") || !extValid(sb) {
		return Content{}, false
	}
	compatible, incompatible, readable := sb.u32(0x5c), sb.u32(0x60), sb.u32(0x64)
	content := Content{
		Version: fmt.Sprintf("%d.%d", sb.u32(0x4c), sb.u16(0x3e)),
		UUID:    sb.uuid(0x68), Label: sb.text(0x78, 16),
	}
	if scale := sb.u32(0x18); scale <= extMaxScale {
		blocks := uint64(sb.u32(4))
		if incompatible&ext64Bit != 0 {
			blocks |= uint64(sb.u32(0x150)) << 32
		}
		content.Bytes = product(blocks, 1024<<scale)
	}
	old := readable&^extReadByOthers == 0
	journal := compatible&extHasJournal != 0
	switch {
	case incompatible&extJournalOnly != 0:
		content.Type, content.Usage = "jbd", Other
	case old && !journal && incompatible&^(extFileType|extMetaGroups) == 0:
		content.Type = "ext2"
	case old && journal && incompatible&^(extFileType|extMetaGroups|extRecover) == 0:
		content.Type = "ext3"
	}
	return content, true
}

// extValid checks more than the signature, which has two bytes only: the sum where there is one, else that
// block size and revision are possible.
func extValid(sb block) bool {
	const sumAt = 0x3fc
	if sb.u32(0x64)&extChecksums != 0 {
		return ^crc32c(sb[:sumAt]) == sb.u32(sumAt)
	}
	return sb.u32(0x18) <= extMaxScale && sb.u32(0x4c) <= 1
}
