package grub

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"unicode/utf16"

	"github.com/zerodisc/zerodisc/internal/iso9660"
)

var little = binary.LittleEndian

// A disk counts sectors of 512 bytes where a disc counts 2048.
const (
	diskSector  = 512
	sectorRatio = iso9660.SectorSize / diskSector
)

// Places in GRUB's BIOS El Torito image (grub-core/boot/i386/pc/cdboot.S and diskboot.S): cdboot takes
// the first 2048 bytes, with a boot information table at 8; diskboot follows, and its list of
// sectors to load ends with its own sector.
const (
	infoTable      = 8
	infoTableEnd   = 64
	firstBlock     = iso9660.SectorSize + diskSector - 12
	biosMinimum    = iso9660.SectorSize + diskSector
	blocksInCDBoot = iso9660.SectorSize / diskSector
)

// patchBIOS tells GRUB's image where it lies: for a start from a disk the sector behind diskboot,
// for one from CD the boot information table, whose checksum includes the former.
func patchBIOS(image []byte, lba uint32) error {
	little.PutUint64(image[firstBlock:], uint64(lba)*sectorRatio+blocksInCDBoot+1)
	clear(image[infoTable:infoTableEnd])
	little.PutUint32(image[8:], iso9660.SystemAreaSize/iso9660.SectorSize) // primary volume descriptor
	little.PutUint32(image[12:], lba)
	little.PutUint32(image[16:], uint32(len(image)))
	little.PutUint32(image[20:], checksum(image[infoTableEnd:]))
	return nil
}

// checksum adds up the 32-bit words of b, the last one padded with zeros.
func checksum(b []byte) uint32 {
	var sum uint32
	for ; len(b) >= 4; b = b[4:] {
		sum += little.Uint32(b)
	}
	var last [4]byte
	copy(last[:], b)
	return sum + little.Uint32(last[:])
}

// disk is the image as a disk sees it; places and sizes in sectors of 512 bytes.
type disk struct {
	sectors         uint64
	bios            uint64 // GRUB's BIOS image
	esp, espSectors uint64
	diskID          [16]byte
	espID, dataID   [16]byte
}

// Places in a master boot record, and in GRUB's the number of the sector to load (boot.S).
const (
	mbrCodeSize  = 440
	mbrDiskID    = 440
	mbrTable     = 446
	mbrMark      = 510
	mbrLoadBlock = 0x1b0
)

// mbr is the protective master boot record. Its second slot is of no type and only carries the
// active flag, without which some BIOSes do not start a disk.
func (d disk) mbr(code []byte) []byte {
	b := make([]byte, diskSector)
	copy(b, code[:mbrCodeSize])
	little.PutUint64(b[mbrLoadBlock:], d.bios+blocksInCDBoot)
	copy(b[mbrDiskID:], d.diskID[:4])
	size := uint32(min(d.sectors-1, math.MaxUint32))
	copy(b[mbrTable:], mbrSlot(0x00, 0xEE, 1, size))
	copy(b[mbrTable+16:], mbrSlot(0x80, 0x00, 0, 1))
	b[mbrMark], b[mbrMark+1] = 0x55, 0xAA
	return b
}

// mbrSlot is a partition entry; its CHS addresses are the ones for "see the LBA".
func mbrSlot(status, kind byte, start, size uint32) []byte {
	b := []byte{status, 0xFE, 0xFF, 0xFF, kind, 0xFE, 0xFF, 0xFF}
	return little.AppendUint32(little.AppendUint32(b, start), size)
}

// Sizes of a GUID partition table, UEFI specification section 5.3.
const (
	gptEntries    = 128
	gptEntrySize  = 128
	gptHeaderSize = 92
	gptTable      = gptEntries * gptEntrySize / diskSector // sectors
)

// espType is the GUID of an EFI system partition, C12A7328-F81F-11D2-BA4B-00A0C93EC93B, as stored.
var espType = [16]byte{0x28, 0x73, 0x2A, 0xC1, 0x1F, 0xF8, 0xD2, 0x11, 0xBA, 0x4B, 0x00, 0xA0, 0xC9, 0x3E, 0xC9, 0x3B}

// linuxType is the GUID of Linux file system data, 0FC63DAF-8483-4772-8E79-3D69D8477DE4, as stored. Windows does
// not offer to format it.
var linuxType = [16]byte{0xAF, 0x3D, 0xC6, 0x0F, 0x83, 0x84, 0x72, 0x47, 0x8E, 0x79, 0x3D, 0x69, 0xD8, 0x47, 0x7D, 0xE4}

// Attributes of the partition that only keeps others away: read-only, hidden, not to be mounted by itself
// (the bits 60, 62 and 63 that partition tools have names for).
const attrKeepAway = 1<<60 | 1<<62 | 1<<63

// Where partitions start and end, in sectors: tools warn of others. What is left at the end is padding.
const (
	startAlignment = 8
	endAlignment   = 64
)

// gpt is the GUID partition table: primary comes right after the master boot record, backup is
// the end of the disk. The first partition is the extent that El Torito names for UEFI too. The second
// is everything behind it: without it partition tools would take the ISO's files for free space,
// and make a new partition on a stick right there. No sector before the first partition is usable: that is where
// the volume descriptors are, and sgdisk took it.
func (d disk) gpt() (primary, backup []byte) {
	table := d.gptTable()
	last := d.sectors - 1
	primary = append(d.gptHeader(table, 1, last, 2), table...)
	backup = append(table, d.gptHeader(table, last, 1, last-gptTable)...)
	return primary, backup
}

func (d disk) gptTable() []byte {
	b := gptEntry(espType, d.espID, d.esp, d.esp+d.espSectors-1, 0, "EFI system partition")
	start := (d.esp + d.espSectors + startAlignment - 1) / startAlignment * startAlignment
	if end := (d.lastUsable() + 1) / endAlignment * endAlignment; start < end {
		b = append(b, gptEntry(linuxType, d.dataID, start, end-1, attrKeepAway, "zerodisc, do not write")...)
	}
	return append(b, make([]byte, gptTable*diskSector-len(b))...)
}

// lastUsable is the sector before the backup table.
func (d disk) lastUsable() uint64 { return d.sectors - 1 - gptTable - 1 }

// gptEntry is an entry of the table; first and last are sectors.
func gptEntry(kind, id [16]byte, first, last, attributes uint64, name string) []byte {
	unique := guid(id)
	b := append(kind[:len(kind):len(kind)], unique[:]...)
	b = little.AppendUint64(b, first)
	b = little.AppendUint64(b, last)
	b = little.AppendUint64(b, attributes)
	for _, unit := range utf16.Encode([]rune(name)) {
		b = little.AppendUint16(b, unit)
	}
	return append(b, make([]byte, gptEntrySize-len(b))...)
}

// gptHeader is the sector of a header that lies at self, its twin at other and its table at
// tableAt.
func (d disk) gptHeader(table []byte, self, other, tableAt uint64) []byte {
	id := guid(d.diskID)
	b := append([]byte("EFI PART"), 0, 0, 1, 0)
	b = little.AppendUint32(b, gptHeaderSize)
	b = little.AppendUint64(b, 0) // checksum, and 32 bits reserved
	b = little.AppendUint64(b, self)
	b = little.AppendUint64(b, other)
	b = little.AppendUint64(b, d.esp) // first usable sector
	b = little.AppendUint64(b, d.lastUsable())
	b = append(b, id[:]...)
	b = little.AppendUint64(b, tableAt)
	b = little.AppendUint32(b, gptEntries)
	b = little.AppendUint32(b, gptEntrySize)
	b = little.AppendUint32(b, crc32.ChecksumIEEE(table))
	little.PutUint32(b[16:], crc32.ChecksumIEEE(b))
	return append(b, make([]byte, diskSector-len(b))...)
}

// guid marks id as a GUID of version 8 (RFC 9562 section 5.8) in the byte order of partition tables.
func guid(id [16]byte) [16]byte {
	id[7] = id[7]&0x0F | 0x80
	id[8] = id[8]&0x3F | 0x80
	return id
}
