package blkid

import (
	"encoding/binary"
	"fmt"
)

// NTFS, as the Linux driver describes it (fs/ntfs3/ntfs.h).
const (
	ntfsMaxRecord  = 64 << 10   // bytes; real ones have 1 or 4 KiB
	ntfsMaxCluster = 2 << 20    // bytes
	ntfsVolume     = 3          // number of the record of $Volume in the master file table
	ntfsVolumeName = 0x60       // type of the attribute that holds the label
	ntfsEnd        = 0xffffffff // type that follows the last attribute
)

func findNTFS(d *disk) (Content, bool) {
	b := d.at(0, 512)
	if !b.has(3, "NTFS    ") || d.isBitLocker() {
		return Content{}, false
	}
	table, record, ok := ntfsTable(b)
	if !ok || !d.has(table, "FILE") {
		return Content{}, false
	}
	volume := d.at(table+ntfsVolume*uint64(record), record)
	if !volume.has(0, "FILE") {
		return Content{}, false
	}
	content := Content{Label: ntfsLabel(volume), Bytes: product(b.u64(0x28), uint64(b.u16(0x0b)))}
	if serial := b.u64(0x48); serial != 0 {
		content.UUID = fmt.Sprintf("%016X", serial)
	}
	return content, true
}

// ntfsTable checks the boot sector and returns where the master file table is and how large its records are, in bytes.
func ntfsTable(b block) (at uint64, record int, ok bool) {
	sector := uint64(b.u16(0x0b))
	cluster := ntfsClusterSectors(b[0x0d]) * sector
	if !powerOfTwo(sector, 256, 4096) || cluster == 0 || cluster > ntfsMaxCluster {
		return 0, 0, false
	}
	// What FAT has there is zero.
	if !b.zero(0x0e, 7) || !b.zero(0x16, 2) || !b.zero(0x20, 4) {
		return 0, 0, false
	}
	size := ntfsRecordSize(b[0x40], cluster)
	clusters := b.u64(0x28) / (cluster / sector)
	table := b.u64(0x30)
	if size < 512 || size > ntfsMaxRecord || table > clusters || b.u64(0x38) > clusters || table > 1<<62/cluster {
		return 0, 0, false
	}
	return table * cluster, int(size), true
}

// ntfsClusterSectors reads the number of sectors in a cluster: a power of two, or, above 64 KiB, the negative
// exponent of one. 0 is none.
func ntfsClusterSectors(n byte) uint64 {
	switch {
	case powerOfTwo(n, 1, 128):
		return uint64(n)
	case n >= 240 && n <= 249:
		return 1 << (256 - int(n))
	}
	return 0
}

// ntfsRecordSize reads the size of a record, bytes: a number of clusters, or the negative exponent of a power of
// two. 0 is none.
func ntfsRecordSize(n byte, cluster uint64) uint64 {
	switch {
	case powerOfTwo(n, 1, 64):
		return uint64(n) * cluster
	case n >= 0xe1 && n <= 0xf7:
		return 1 << (256 - int(n))
	}
	return 0
}

// ntfsLabel finds the label among the attributes of the record of $Volume.
func ntfsLabel(record block) string {
	at := int(record.u16(0x14))
	for at+0x18 <= len(record) {
		attribute := record[at:]
		size := attribute.u32(4)
		switch attribute.u32(0) {
		case ntfsEnd:
			return ""
		case ntfsVolumeName:
			start, n := int(attribute.u16(0x14)), attribute.u32(0x10)
			if start > len(attribute) || n > uint32(len(attribute)-start) {
				return ""
			}
			return attribute.utf16(binary.LittleEndian, start, int(n))
		}
		if size == 0 || size > uint32(len(attribute)) {
			return ""
		}
		at += int(size)
	}
	return ""
}
