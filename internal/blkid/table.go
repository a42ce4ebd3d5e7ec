package blkid

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
)

// Table is a partition table. The zero value is none.
type Table struct {
	Type       string // "gpt" or "dos"
	UUID       string // a UUID, or the disk signature, eight hexadecimal digits; may be empty
	Partitions []Partition
}

// Partition is an entry of a table.
type Partition struct {
	Number         int    // as Linux counts them
	Start, Sectors int64  // in units of 512 bytes, whatever the disk's own sectors are
	Type           string // a UUID; "0x83" in a table of type dos
	UUID           string // may be empty
	Name           string // in a table of type gpt; any characters
	Flags          uint64 // attributes; of type dos 0x80 for the one to boot
}

const (
	mbrEntries   = 446
	mbrEntrySize = 16
	mbrGPT       = 0xee
	mbrMaxLinks  = 256     // partitions that Linux takes of one disk
	gptMaxBytes  = 1 << 20 // 8,192 entries of which Linux takes 256
)

// table reads the disk's partition table.
func (d *disk) table() Table {
	mbr := d.at(0, 512)
	if !mbr.has(510, "\x55\xaa") {
		return Table{}
	}
	if isProtective(mbr) {
		return d.gpt()
	}
	return d.dos(mbr)
}

// isProtective says whether an MBR is there to keep others off a GPT.
func isProtective(mbr block) bool {
	for n := range 4 {
		if mbr[mbrEntries+n*mbrEntrySize+4] == mbrGPT {
			return true
		}
	}
	return false
}

// gpt reads the GUID partition table (UEFI specification, 5.3), or else the backup at the end. A disk of another sector
// size than the one that the table was written for has it elsewhere; images of disks have no size of their own.
func (d *disk) gpt() Table {
	for _, sector := range []int64{d.sector, 512, 4096} {
		if d.size/sector < 2 {
			continue
		}
		last := uint64(d.size/sector) - 1
		for _, lba := range []uint64{1, last} {
			if table, ok := d.gptAt(uint64(sector), lba, last); ok {
				return table
			}
		}
	}
	return Table{}
}

func (d *disk) gptAt(sector, lba, last uint64) (Table, bool) {
	const headerSize, entrySize, sumAt = 92, 128, 16
	h := d.at(lba*sector, int(sector))
	if !h.has(0, "EFI PART") {
		return Table{}, false
	}
	size := h.u32(12)
	if size < headerSize || size > uint32(sector) || gptSum(h[:size], sumAt) != h.u32(sumAt) || h.u64(24) != lba {
		return Table{}, false
	}
	first, usable := h.u64(40), h.u64(48)
	count, entries := uint64(h.u32(80)), h.u64(72)
	if usable < first || usable > last || first < lba && lba < usable ||
		h.u32(84) != entrySize || count == 0 || count*entrySize > gptMaxBytes || entries > last {
		return Table{}, false
	}
	array := d.at(entries*sector, int(count*entrySize))
	if array == nil || crc32.ChecksumIEEE(array) != h.u32(88) {
		return Table{}, false
	}
	table := Table{Type: "gpt", UUID: h.guid(56)}
	for n := range int(count) {
		entry := array[n*entrySize : (n+1)*entrySize]
		start, end := entry.u64(32), entry.u64(40)
		if entry.zero(0, 16) || start < first || end > usable || end < start {
			continue
		}
		table.Partitions = append(table.Partitions, Partition{
			Number: n + 1, Start: int64(start * sector / 512), Sectors: int64((end - start + 1) * sector / 512),
			Type: entry.guid(0), UUID: entry.guid(16), Flags: entry.u64(48),
			Name: entry.utf16(binary.LittleEndian, 56, 72),
		})
	}
	return table, true
}

// gptSum is a header's sum, for which the sum in it counts as zero.
func gptSum(header block, at int) uint32 {
	zeroed := slices.Clone(header)
	copy(zeroed[at:at+4], make([]byte, 4))
	return crc32.ChecksumIEEE(zeroed)
}

// dosEntry is an entry of an MBR or of an extended partition's boot record. Start and sectors count the disk's sectors.
type dosEntry struct {
	boot, kind     byte
	start, sectors int64
}

func (e dosEntry) extended() bool { return e.kind == 0x05 || e.kind == 0x0f || e.kind == 0x85 }

// isLink says whether an entry leads to an extended partition that exists.
func (e dosEntry) isLink() bool { return e.sectors > 0 && e.extended() && e.start > 0 }

func dosEntries(sector block) (entries [4]dosEntry) {
	for n := range entries {
		b := sector[mbrEntries+n*mbrEntrySize:]
		entries[n] = dosEntry{b[0], b[4], int64(b.u32(8)), int64(b.u32(12))}
	}
	return entries
}

// dos reads the partition table in a master boot record. A file system's boot sector may end with the same
// signature.
func (d *disk) dos(mbr block) Table {
	entries := dosEntries(mbr)
	if slices.ContainsFunc(entries[:], func(e dosEntry) bool { return e.boot&0x7f != 0 }) || d.bootSector() {
		return Table{}
	}
	t := dosTable{disk: d}
	t.Type = "dos"
	if id := mbr.u32(440); id != 0 {
		t.UUID = fmt.Sprintf("%08x", id)
	}
	for n, e := range entries {
		if e.sectors > 0 {
			t.add(n+1, e, e.start)
		}
	}
	t.next = 5
	for _, e := range entries {
		if e.isLink() {
			t.logical(e)
		}
	}
	return t.Table
}

// bootSector says whether the first sector is that of a file system.
func (d *disk) bootSector() bool {
	if _, ok := d.fat(); ok {
		return true
	}
	_, exFAT := findExFAT(d)
	_, ntfs := findNTFS(d)
	return exFAT || ntfs
}

// dosTable is a table of type dos while it is read.
type dosTable struct {
	Table
	disk *disk
	next int // number of the next logical partition
}

func (t *dosTable) add(number int, e dosEntry, start int64) {
	unit := t.disk.sector / 512
	p := Partition{
		Number: number, Start: start * unit, Sectors: e.sectors * unit,
		Type: fmt.Sprintf("%#x", e.kind), Flags: uint64(e.boot),
	}
	if t.UUID != "" {
		p.UUID = fmt.Sprintf("%s-%02x", t.UUID, number)
	}
	t.Partitions = append(t.Partitions, p)
}

// logical follows the boot records in an extended partition. Each has a logical partition, which begins behind it, and
// a link to the next record, which counts from the extended partition's start (Linux, block/partitions/msdos.c).
func (t *dosTable) logical(extended dosEntry) {
	at, size := extended.start, extended.sectors
	for range mbrMaxLinks {
		record := t.disk.at(uint64(at*t.disk.sector), 512)
		if !record.has(510, "\x55\xaa") {
			return
		}
		entries := dosEntries(record)
		for n, e := range entries {
			start := at + e.start
			inside := start >= extended.start && start+e.sectors <= extended.start+extended.sectors
			if e.sectors == 0 || e.extended() || !inside || n >= 2 && e.start+e.sectors > size {
				continue
			}
			t.add(t.next, e, start)
			t.next++
		}
		link := slices.IndexFunc(entries[:], dosEntry.isLink)
		if link < 0 {
			return
		}
		next := extended.start + entries[link].start
		if next <= at || next >= extended.start+extended.sectors { // backwards it could go on for ever
			return
		}
		at, size = next, entries[link].sectors
	}
}

// overwritten says of a disk with a physical volume of LVM that a partition table was written over it later: pvcreate
// clears the place where that is. People who boot from such a volume have an empty one there.
func overwritten(t Table) bool {
	return t.Type == "gpt" || len(t.Partitions) > 0
}
