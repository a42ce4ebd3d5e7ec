package disks

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// Content is what a disk or partition holds.
type Content struct {
	Type  string // as mount(8) and blkid(8) call it; "" for what is not known
	Label string // printable; may be empty
}

// format is how a kind of content is recognised. Offsets and lengths are in bytes.
type format struct {
	kind          string
	magicAt       int
	magic         string
	labelAt, size int // of the label, padded with zeros or spaces; size 0: it has none, or none as plain text
}

// formats are looked for in this order. Sources: the specifications and the Linux headers that define
// the superblocks (ext4.h, xfs_format.h, btrfs_tree.h, swap.h, f2fs_fs.h, md_p.h), ECMA-119 8.4,
// Microsoft's FAT and exFAT specifications, LUKS2 on-disk format, LVM2's label.h.
var formats = []format{
	{kind: "crypto_LUKS", magicAt: 0, magic: "LUKS\xba\xbe"},
	{kind: "LVM2_member", magicAt: 512 + 24, magic: "LVM2 001"},
	{kind: "linux_raid_member", magicAt: 4096, magic: "\xfc\x4e\x2b\xa9"},
	{kind: "BitLocker", magicAt: 3, magic: "-FVE-FS-"},
	{kind: "ntfs", magicAt: 3, magic: "NTFS    "},
	{kind: "exfat", magicAt: 3, magic: "EXFAT   "},
	{kind: "xfs", magicAt: 0, magic: "XFSB", labelAt: 108, size: 12},
	{kind: "squashfs", magicAt: 0, magic: "hsqs"},
	// ext2 and ext3 too: its driver mounts them.
	{kind: "ext4", magicAt: 1024 + 56, magic: "\x53\xef", labelAt: 1024 + 120, size: 16},
	{kind: "f2fs", magicAt: 1024, magic: "\x10\x20\xf5\xf2"},
	{kind: "btrfs", magicAt: 64<<10 + 64, magic: "_BHRfS_M", labelAt: 64<<10 + 299, size: 256},
	{kind: "swap", magicAt: 4096 - 10, magic: "SWAPSPACE2", labelAt: 1024 + 28, size: 16},
	{kind: "iso9660", magicAt: 32<<10 + 1, magic: "CD001", labelAt: 32<<10 + 40, size: 32},
	{kind: "vfat", magicAt: 82, magic: "FAT32   ", labelAt: 71, size: 11},
	{kind: "vfat", magicAt: 54, magic: "FAT1", labelAt: 43, size: 11},
}

// noName is the label that FAT has for none.
const noName = "NO NAME"

// headSize is how much of a device has to be read, bytes: to the end of btrfs' label.
const headSize = 64<<10 + 299 + 256

// Identify reads the beginning of a device and says what it holds.
func Identify(device io.ReaderAt) (Content, error) {
	head := make([]byte, headSize)
	n, err := device.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return Content{}, err
	}
	return identify(head[:n]), nil
}

func identify(head []byte) Content {
	for _, f := range formats {
		if !bytes.Equal(cut(head, f.magicAt, len(f.magic)), []byte(f.magic)) {
			continue
		}
		text, _, _ := bytes.Cut(cut(head, f.labelAt, f.size), []byte{0})
		label := printable.Line(strings.TrimSpace(string(text)))
		if label == noName {
			label = ""
		}
		return Content{f.kind, label}
	}
	return Content{}
}

// cut returns size bytes from offset at, or what there is of them.
func cut(b []byte, at, size int) []byte {
	at = min(at, len(b))
	return b[at:min(at+size, len(b))]
}
