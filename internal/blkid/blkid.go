// Package blkid says what a block device or an image holds: a file system, a member of an array, an encrypted volume or
// swap space, with its label and UUID in the spelling of blkid(8), and which partition table. It reads a few
// blocks and writes nothing.
//
// What it reads may be damaged or made to harm. Every size and offset is checked against the device, a device is
// read at most maxReads times and maxBytes in all, and nothing is followed for longer than that.
package blkid

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Usage is what a kind of content is for. The values are blkid's own.
type Usage string

const (
	FileSystem Usage = "filesystem"
	RAID       Usage = "raid"   // a member of an array or of a volume group
	Crypto     Usage = "crypto" // encrypted, to be opened before it can be read
	Other      Usage = "other"  // swap space, the journal of a file system elsewhere
)

// Content is what a device holds. Its texts come from the device and may hold any character but NUL; package
// printable makes them safe to show.
type Content struct {
	Type    string // as blkid(8) and mount(8) call it: "ext4", "LVM2_member"; "" for what is not known
	Usage   Usage
	Version string // of the format, where blkid gives one: "FAT32", "1.2"
	Label   string // need not be valid UTF-8
	UUID    string // as blkid spells it for the type: "1A2B-3C4D" for vfat, a date for iso9660
	SubUUID string // of the one device, where a file system or array has many
	Bytes   int64  // that a file system takes of the device by its own account; 0 where that is not known
	Lacks   int64  // how many of them the device has not

	// Others are the types of which there are signatures, too. Then it is not certain what the device holds: blkid
	// and udev say nothing. Type is the likeliest.
	Others []string

	Table Table
}

// Device is what to identify.
type Device struct {
	io.ReaderAt
	Size    int64 // bytes
	Sector  int64 // logical sector size, bytes; 0 is 512
	Optical bool  // a disc: no RAID is looked for at its end, where drives often cannot read
}

// Identify says what a device holds. An error, which is the first that a read failed with, comes with what was
// found nonetheless.
func Identify(device Device) (Content, error) {
	d := newDisk(device)
	content := d.identify()
	return content, d.err
}

// IdentifyFile is Identify for an open disk with sectors of 512 bytes, or for an image.
func IdentifyFile(f *os.File) (Content, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return Content{}, fmt.Errorf("size of %s: %w", f.Name(), err)
	}
	return Identify(Device{ReaderAt: f, Size: size})
}

// kind is something that a device may hold.
type kind struct {
	name  string
	usage Usage
	size  int64 // that a device has at least
	// tolerant kinds may share a device with others: a disc's image has room for them at its beginning.
	tolerant bool
	find     func(*disk) (Content, bool)
}

// layers lie below file systems. The first that is found is what the device holds, whatever is seen through it.
var layers = []kind{
	{name: "linux_raid_member", usage: RAID, size: raidReserved, find: findRAID},
	{name: "LVM2_member", usage: RAID, find: findLVM},
	{name: "crypto_LUKS", usage: Crypto, find: findLUKS},
	{name: "BitLocker", usage: Crypto, find: findBitLocker},
}

// fileSystems are looked for all. A disk may carry signatures of an earlier life, so that the order counts: first
// those that the tools for all others overwrite, swap space last, because little overwrites its signature.
var fileSystems = []kind{
	{name: "exfat", usage: FileSystem, find: findExFAT},
	{name: "ntfs", usage: FileSystem, find: findNTFS},
	{name: "xfs", usage: FileSystem, find: findXFS},
	{name: "ext4", usage: FileSystem, find: findExt},
	{name: "btrfs", usage: FileSystem, size: 1 << 20, find: findBtrfs},
	{name: "f2fs", usage: FileSystem, find: findF2FS},
	{name: "squashfs", usage: FileSystem, find: findSquashFS},
	{name: "erofs", usage: FileSystem, find: findEROFS},
	{name: "vfat", usage: FileSystem, find: findFAT},
	{name: "udf", usage: FileSystem, tolerant: true, find: findUDF},
	{name: "iso9660", usage: FileSystem, tolerant: true, find: findISO},
	{name: "swap", usage: Other, size: 10 * 4096, find: findSwap},
}

// tiny is the size in bytes up to which a device is taken for a floppy disk: too small for an array, and old signatures
// on it do not count.
const tiny = 1440 << 10

func (d *disk) identify() Content {
	table := d.table()
	content, found := d.layer(table)
	if !found {
		content = d.fileSystem()
	}
	content.Lacks = max(content.Bytes-d.size, 0)
	if content.Usage != RAID { // the table of an array's disk is seen through its members
		content.Table = table
	}
	if content.Type != "" && table.Type == "dos" { // it may be no table, but a boot loader
		content.Table.Faults = nil
	}
	return content
}

// layer looks for what lies below file systems.
func (d *disk) layer(table Table) (Content, bool) {
	for _, k := range layers {
		if k.usage == RAID && (d.optical || d.size <= tiny) {
			continue
		}
		content, ok := d.find(k)
		if !ok || k.name == "LVM2_member" && overwritten(table) || d.inPartition(table, content) {
			continue
		}
		return content, true
	}
	return Content{}, false
}

// fileSystem looks for everything else.
func (d *disk) fileSystem() Content {
	var first Content
	certain := true
	for _, k := range fileSystems {
		content, ok := d.find(k)
		switch {
		case !ok:
			continue
		case first.Type == "":
			first, certain = content, k.tolerant
		default:
			first.Others = append(first.Others, content.Type)
			certain = certain && k.tolerant
		}
	}
	if certain || d.size <= tiny {
		first.Others = nil
	}
	return first
}

// find looks for one kind.
func (d *disk) find(k kind) (Content, bool) {
	if d.size < k.size {
		return Content{}, false
	}
	content, ok := k.find(d)
	if !ok {
		return Content{}, false
	}
	if content.Type == "" {
		content.Type = k.name
	}
	if content.Usage == "" {
		content.Usage = k.usage
	}
	return content, true
}

// Limits for what one device may cost.
const (
	maxReads = 512
	maxBytes = 8 << 20
	headSize = 68 << 10 // to the end of btrfs' superblock; read at once
)

// disk is a device while it is identified.
type disk struct {
	r             io.ReaderAt
	size, sector  int64
	optical       bool
	head          block
	reads, budget int   // what is left of the limits
	err           error // the first of a read
}

func newDisk(d Device) *disk {
	s := &disk{
		r: d.ReaderAt, size: max(d.Size, 0), sector: d.Sector, optical: d.Optical,
		reads: maxReads, budget: maxBytes,
	}
	if s.sector < 512 || s.sector > 64<<10 || s.sector&(s.sector-1) != 0 {
		s.sector = 512
	}
	s.head = s.at(0, int(min(s.size, headSize)))
	return s
}

// at returns n bytes from offset on, or nil where the device has not as many, cannot be read, or was read too
// much already.
func (d *disk) at(offset uint64, n int) block {
	if n <= 0 || offset > uint64(d.size) || uint64(n) > uint64(d.size)-offset {
		return nil
	}
	if end := offset + uint64(n); end <= uint64(len(d.head)) {
		return d.head[offset:end]
	}
	if d.reads == 0 || n > d.budget {
		return nil
	}
	d.reads--
	d.budget -= n
	b := make([]byte, n)
	got, err := d.r.ReadAt(b, int64(offset))
	switch {
	case got == n:
		return b
	case !errors.Is(err, io.EOF) && d.err == nil: // a file that became shorter holds nothing there
		d.err = fmt.Errorf("read %d bytes at %d: %w", n, offset, err)
	}
	return nil
}

// has says whether text stands at offset.
func (d *disk) has(offset uint64, text string) bool {
	return string(d.at(offset, len(text))) == text
}
