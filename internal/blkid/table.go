package blkid

import (
	"cmp"
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
	// Faults are what is wrong with it, for a person to read. There may be some where there is no table: it cannot be
	// used.
	Faults []string
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
	gptMaxBytes  = 1 << 20 // 8,192 entries
	gptMaxParts  = 255     // entries that Linux looks at (block/genhd.h: DISK_MAX_PARTS)
	maxFaults    = 4       // that are named
)

// fault notes what is wrong. A table may be wrong in a thousand places.
func (t *Table) fault(format string, args ...any) {
	switch len(t.Faults) {
	case maxFaults:
		t.Faults = append(t.Faults, "and more")
	case maxFaults + 1:
	default:
		t.Faults = append(t.Faults, fmt.Sprintf(format, args...))
	}
}

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
// size than the one that the table was written for has it elsewhere; images of disks have no size of their own. Linux
// looks for the backup only where the first one is good (block/partitions/efi.c).
func (d *disk) gpt() Table {
	for _, sector := range []int64{d.sector, 512, 4096} {
		if d.size/sector < 2 {
			continue
		}
		last := uint64(d.size/sector) - 1
		for _, lba := range []uint64{1, last} {
			if table, ok := d.gptAt(uint64(sector), lba, last); ok {
				if lba != 1 {
					table.fault("the first copy of it is damaged, and Linux does not use the one at the disk's end")
				}
				return table
			}
		}
	}
	return Table{Faults: []string{"it is damaged, or the disk is cut short"}}
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
		switch {
		case entry.zero(0, 16):
			continue
		case end < start:
			table.fault("partition %d ends before it begins", n+1)
			continue
		case start < first || end > usable:
			table.fault("partition %d is not within the disk", n+1)
			continue
		case n == gptMaxParts:
			table.fault("Linux takes the first %d partitions of it", gptMaxParts)
		}
		table.Partitions = append(table.Partitions, Partition{
			Number: n + 1, Start: int64(start * sector / 512), Sectors: int64((end - start + 1) * sector / 512),
			Type: entry.guid(0), UUID: entry.guid(16), Flags: entry.u64(48),
			Name: entry.utf16(binary.LittleEndian, 56, 72),
		})
	}
	table.overlaps()
	return table, true
}

// overlaps notes partitions that have sectors in common.
func (t *Table) overlaps() {
	byStart := slices.Clone(t.Partitions)
	slices.SortFunc(byStart, func(a, b Partition) int { return cmp.Compare(a.Start, b.Start) })
	for i := 1; i < len(byStart); i++ {
		before, p := byStart[i-1], byStart[i]
		if p.Start < before.Start+before.Sectors {
			t.fault("partitions %d and %d overlap", min(before.Number, p.Number), max(before.Number, p.Number))
		}
	}
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
			if (e.start+e.sectors)*d.sector > d.size {
				t.fault("partition %d is not within the disk", n+1)
			}
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
// a link to the next record, which counts from the extended partition's start (Linux, block/partitions/msdos.c). It may
// lie before this one, but where it was already the chain would go on for ever; Linux makes the same partitions again
// and again then, until it has no numbers left.
func (t *dosTable) logical(extended dosEntry) {
	at, size := extended.start, extended.sectors
	been := map[int64]bool{}
	for range mbrMaxLinks {
		record := t.disk.at(uint64(at*t.disk.sector), 512)
		if !record.has(510, "\x55\xaa") {
			t.fault("the chain of logical partitions is broken")
			return
		}
		been[at] = true
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
		link := slices.IndexFunc(entries[:], func(e dosEntry) bool { return e.sectors > 0 && e.extended() })
		if link < 0 {
			return
		}
		next := extended.start + entries[link].start
		switch {
		case been[next]:
			t.fault("the chain of logical partitions leads back to where it was")
			return
		case next < extended.start || next >= extended.start+extended.sectors:
			t.fault("the chain of logical partitions leads out of the extended partition")
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
