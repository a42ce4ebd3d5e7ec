package blkid

import (
	"encoding/binary"
	"fmt"
)

// findXFS checks the superblock of XFS, which is big-endian, and its sum (Linux, fs/xfs/libxfs/xfs_format.h).
func findXFS(d *disk) (Content, bool) {
	sb := d.at(0, 512)
	if !sb.has(0, "XFSB") {
		return Content{}, false
	}
	blockSize, sector, inode := sb.be32(4), sb.be16(102), sb.be16(104)
	switch {
	case !powerOfTwo(blockSize, 512, 64<<10), !powerOfTwo(sector, 512, 32<<10), !powerOfTwo(inode, 256, 2048):
		return Content{}, false
	case 1<<sb[120] != uint64(blockSize), 1<<sb[121] != uint64(sector), 1<<sb[122] != uint64(inode):
		return Content{}, false
	case sb.be64(8) == 0, sb.be32(88) == 0, sb[127] > 100: // blocks, allocation groups, inodes in percent
		return Content{}, false
	}
	const sumAt, sumSize = 224, 4
	if version := sb.be16(100) & 0xf; version == 5 {
		whole := d.at(0, int(sector))
		if whole == nil || crc32cWithout(whole, sumAt, sumSize) != whole.u32(sumAt) {
			return Content{}, false
		}
	}
	return Content{UUID: sb.uuid(32), Label: sb.text(108, 12), Bytes: product(sb.be64(8), uint64(blockSize))}, true
}

// findBtrfs checks the first superblock of Btrfs and its CRC-32C (Linux, include/uapi/linux/btrfs_tree.h). Sums
// of the other kinds, which nobody has by default, are not checked.
func findBtrfs(d *disk) (Content, bool) {
	const at, size, sumSize, ownSum = 64 << 10, 4096, 32, 0
	sb := d.at(at, size)
	if !sb.has(0x40, "_BHRfS_M") || sb.u64(0x30) != at || !powerOfTwo(sb.u32(0x90), 512, 64<<10) {
		return Content{}, false
	}
	if sb.u16(0xc4) == ownSum && crc32c(sb[sumSize:]) != sb.u32(0) {
		return Content{}, false
	}
	return Content{
		UUID: sb.uuid(0x20), SubUUID: sb.uuid(0x10b), Label: sb.text(0x12b, 256), Bytes: product(sb.u64(0xd1), 1),
	}, true
}

// findF2FS checks the first superblock of F2FS and its sum (Linux, include/linux/f2fs_fs.h).
func findF2FS(d *disk) (Content, bool) {
	const at, magic, size = 1024, 0xf2f52010, 4096
	sb := d.at(at, size-at)
	if !sb.has(0, "\x10\x20\xf5\xf2") {
		return Content{}, false
	}
	if sumAt := int64(sb.u32(0x20)); sumAt != 0 {
		if whole := d.at(at, size); sumAt > size-4 || whole == nil ||
			rawCRC32(magic, whole[:sumAt]) != whole.u32(int(sumAt)) {
			return Content{}, false
		}
	}
	return Content{
		Version: fmt.Sprintf("%d.%d", sb.u16(4), sb.u16(6)),
		UUID:    sb.uuid(0x6c), Label: sb.utf16(binary.LittleEndian, 0x7c, 1024),
		Bytes: product(sb.u64(0x24), 4096),
	}, true
}

// findSquashFS recognises version 4 (Linux, fs/squashfs/squashfs_fs.h); nothing mounts older ones any more.
func findSquashFS(d *disk) (Content, bool) {
	sb := d.at(0, 96)
	if !sb.has(0, "hsqs") || sb.u16(28) < 4 {
		return Content{}, false
	}
	return Content{Version: fmt.Sprintf("%d.%d", sb.u16(28), sb.u16(30)), Bytes: product(sb.u64(40), 1)}, true
}

// findEROFS checks the superblock of EROFS and, where there is one, its sum over the rest of the first block (Linux,
// fs/erofs/erofs_fs.h).
func findEROFS(d *disk) (Content, bool) {
	const at, size, sumAt, sumSize, hasSum = 1024, 128, 4, 4, 1
	sb := d.at(at, size)
	if !sb.has(0, "\xe2\xe1\xf5\xe0") {
		return Content{}, false
	}
	bits := sb[12]
	if bits < 9 || bits > 16 {
		return Content{}, false
	}
	if sb.u32(8)&hasSum != 0 && 1<<bits > at {
		whole := d.at(at, 1<<bits-at)
		if whole == nil || ^crc32cWithout(whole, sumAt, sumSize) != whole.u32(sumAt) {
			return Content{}, false
		}
	}
	return Content{UUID: sb.uuid(48), Label: sb.text(64, 16), Bytes: product(uint64(sb.u32(36)), 1<<bits)}, true
}

// swapSignatures stand at the end of the first page, whatever the size of pages is on the machine that wrote them
// (Linux, include/linux/swap.h). What hibernation has written over them says so.
var swapSignatures = []struct{ text, kind, version string }{
	{"SWAPSPACE2", "swap", "1"},
	{"SWAP-SPACE", "swap", "0"},
	{"S1SUSPEND", "swsuspend", "s1suspend"},
	{"S2SUSPEND", "swsuspend", "s2suspend"},
	{"ULSUSPEND", "swsuspend", "ulsuspend"},
	{"LINHIB0001", "swsuspend", "linhib0001"},
}

func findSwap(d *disk) (Content, bool) {
	const signatureSize, headerAt, headerSize = 10, 1024, 512
	for page := uint64(4 << 10); page <= 64<<10; page *= 2 {
		for _, s := range swapSignatures {
			if !d.has(page-signatureSize, s.text) {
				continue
			}
			content := Content{Type: s.kind, Version: s.version}
			if s.version == "0" { // nothing but a map of bad blocks
				return content, true
			}
			header := d.at(headerAt, headerSize)
			if header == nil || s.kind == "swap" && !swapValid(header) {
				return Content{}, false
			}
			if header.zero(172, 8) { // as it should be: label and UUID are no rubbish either
				content.UUID, content.Label = header.uuid(12), header.text(28, 16)
			}
			return content, true
		}
	}
	return Content{}, false
}

// swapValid checks the header's version, in whose order of bytes it is, and its number of pages.
func swapValid(header block) bool {
	return (header.u32(0) == 1 || header.be32(0) == 1) && header.u32(4) != 0
}
