package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// fileSystem is one kind of what a device may hold.
type fileSystem struct {
	name   string                 // for people
	driver string                 // type for mount(2); "" for what cannot hold an ISO file, or only with a key
	data   string                 // options of that driver
	is     func(head []byte) bool // says it of a device's first bytes
}

// fileSystems is what is recognised. A disk may still carry the signatures of an earlier life,
// so the order counts: first what lies below file systems; then the signatures that
// the tools for all others overwrite; swap space last, because little overwrites its signature.
//
// The options keep a driver from repairing what an unclean end has left behind, which would be a
// write. Without its journal such a file system may show an older state, or not all; a copy of the
// ISO file that was ever written out is in it.
var fileSystems = []fileSystem{
	{name: "LUKS, encrypted", is: signature(0, "LUKS\xba\xbe")}, // LUKS2 on-disk format, 2.1
	{name: "BitLocker, encrypted", is: signature(3, "-FVE-FS-")},
	{name: "LVM", is: isLVM},
	// Linux RAID with its superblock at the end of the device is not recognised: its member is
	// read as what it holds.
	{name: "RAID", is: either(signature(0, mdMagic), signature(4096, mdMagic))},
	{name: "exfat", driver: "exfat", is: signature(3, "EXFAT   ")}, // exFAT specification, 3.1
	{name: "ntfs", driver: "ntfs3", is: signature(3, "NTFS    ")},  // does not replay its log when mounted ro
	{name: "xfs", driver: "xfs", data: "norecovery", is: signature(0, "XFSB")},
	{name: "ext4", driver: "ext4", data: "noload", is: isExt}, // the driver of ext2 and ext3, too
	// A path in btrfs begins at the top for GRUB, not at the subvolume that is the default one.
	{name: "btrfs", driver: "btrfs", data: "rescue=nologreplay,subvolid=5", is: signature(0x10040, "_BHRfS_M")},
	{name: "f2fs", driver: "f2fs", data: "norecovery", is: signature(1024, "\x10\x20\xf5\xf2")},
	{name: "vfat", driver: "vfat", is: isFAT},
	{name: "iso9660", driver: "iso9660", is: signature(volumeDescriptors+1, "CD001")},
	{name: "udf", driver: "udf", is: isUDF},
	{name: "swap", is: either(signature(4086, "SWAPSPACE2"), signature(4086, "SWAP-SPACE"))},
}

const (
	mdMagic           = "\xfc\x4e\x2b\xa9" // linux/raid/md_p.h, MD_SB_MAGIC
	volumeDescriptors = 16 * 2048          // ECMA-119 6.2.1: after the system area
	headSize          = 0x10048            // as far as the signatures above go
)

var errUnknown = errors.New("no file system that is known")

// detect says what a device holds whose first bytes, headSize of them if it is that large, are head.
func detect(head []byte) (fileSystem, error) {
	for _, f := range fileSystems {
		if f.is(head) {
			return f, nil
		}
	}
	return fileSystem{}, errUnknown
}

// readHead reads the first bytes of a device, fewer than headSize of a smaller one.
func readHead(device string) ([]byte, error) {
	f, err := os.OpenFile(device, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, headSize)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("what it holds: %w", err)
	}
	return head[:n], nil
}

// signature is the condition that text stands at offset.
func signature(offset int, text string) func([]byte) bool {
	return func(head []byte) bool {
		return len(head) >= offset && bytes.HasPrefix(head[offset:], []byte(text))
	}
}

func either(a, b func([]byte) bool) func([]byte) bool {
	return func(head []byte) bool { return a(head) || b(head) }
}

// isLVM looks for the label of a physical volume, which is in one of the first four sectors, as a
// rule the second (lvm2, lib/label/label.h).
func isLVM(head []byte) bool {
	for sector := range 4 {
		if signature(512*sector, "LABELONE")(head) && signature(512*sector+24, "LVM2 001")(head) {
			return true
		}
	}
	return false
}

// isExt looks for the superblock of ext2, ext3 or ext4 (Linux,
// Documentation/filesystems/ext4/super.rst). The signature has two bytes only, so block size and
// revision must be possible as well.
func isExt(head []byte) bool {
	const superblock, blockSize, magic, revision = 1024, 0x18, 0x38, 0x4c
	if !signature(superblock+magic, "\x53\xef")(head) || len(head) < superblock+revision+4 {
		return false
	}
	field := func(at int) uint32 { return binary.LittleEndian.Uint32(head[superblock+at:]) }
	return field(blockSize) <= 6 && field(revision) <= 1 // 1 KiB << 6 is the largest block
}

// isFAT checks the BIOS parameter block of FAT12, FAT16 and FAT32 (Microsoft FAT specification,
// section 3), which has no signature of its own. A partition table has zeros there.
func isFAT(head []byte) bool {
	if len(head) < 512 || head[0] != 0xeb && head[0] != 0xe9 {
		return false
	}
	field := func(at int) uint16 { return binary.LittleEndian.Uint16(head[at:]) }
	sector, cluster, reserved, fats, medium := field(11), head[13], field(14), head[16], head[21]
	fatSectors := uint32(field(22)) | binary.LittleEndian.Uint32(head[36:]) // of FAT12 and 16, of FAT32
	return powerOfTwo(sector) && sector >= 512 && sector <= 4096 && powerOfTwo(uint16(cluster)) &&
		reserved > 0 && fats > 0 && fatSectors > 0 && (medium == 0xf0 || medium >= 0xf8)
}

func powerOfTwo(n uint16) bool { return n > 0 && n&(n-1) == 0 }

// isUDF looks for the volume recognition sequence of UDF: "BEA01", then "NSR02" or "NSR03", in
// sectors of 2 KiB, or of the block size where that is larger (ECMA-167 2/8, 2/9).
func isUDF(head []byte) bool {
	return signature(volumeDescriptors+1, "BEA01")(head) &&
		(signature(volumeDescriptors+2048+1, "NSR0")(head) || signature(volumeDescriptors+4096+1, "NSR0")(head))
}
