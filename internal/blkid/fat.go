package blkid

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Microsoft's FAT specification, 3.5: a file system with fewer clusters has FATs of that many bits.
const (
	fat12Clusters = 4085
	fat16Clusters = 65525
	fat32Clusters = 0x0ffffff7
)

// maxDirectory is how many bytes of a root directory are searched for the label. It is the first entry as a rule.
const maxDirectory = 1 << 20

// fat is a FAT file system's BIOS parameter block.
type fat struct {
	boot                 block
	sector, cluster      uint64 // bytes
	reserved, tables     uint64 // bytes, before the FATs and of them
	table32              uint64 // bytes of one FAT, of FAT32 alone
	directory, dataStart uint64 // bytes: of FAT12's and FAT16's root directory, where clusters begin
	clusters             uint64
	size                 uint64 // bytes, all in all
}

// findFAT recognises FAT12, FAT16 and FAT32. The label is that of the root directory; the one in the boot sector is
// not kept up to date by most systems.
func findFAT(d *disk) (Content, bool) {
	f, ok := d.fat()
	if !ok {
		return Content{}, false
	}
	content := Content{Version: f.version(), Bytes: int64(f.size)}
	serial := block(nil)
	if f.table32 > 0 {
		if !f.validInfo(d) {
			return Content{}, false
		}
		serial = f.boot[0x43:0x47]
		content.Label = f.chainLabel(d)
	} else {
		if sign := f.boot[0x26]; sign == 0x28 || sign == 0x29 {
			serial = f.boot[0x27:0x2b]
		}
		content.Label, _ = d.fatLabel(f.reserved+f.tables, min(f.directory, maxDirectory))
	}
	content.UUID = fatSerial(serial)
	return content, true
}

// fatSerial writes a serial number as DOS does.
func fatSerial(b block) string {
	if b == nil || b.u32(0) == 0 {
		return ""
	}
	return fmt.Sprintf("%04X-%04X", b.u16(2), b.u16(0))
}

func (f fat) version() string {
	switch {
	case f.table32 > 0:
		return "FAT32"
	case f.clusters < fat12Clusters:
		return "FAT12"
	}
	return "FAT16"
}

// fatNames are what formatting programs write into the boot sector to say what it is.
var fatNames = []struct {
	at   int
	text string
}{
	{0x52, "MSWIN"}, {0x52, "FAT32   "}, {0x36, "MSDOS"}, {0x36, "FAT16   "}, {0x36, "FAT12   "}, {0x36, "FAT     "},
}

// fat checks the boot sector. Most systems do not ask for a signature, so that all fields have to be possible.
func (d *disk) fat() (fat, bool) {
	b := d.at(0, 512)
	if b == nil || !fatMarked(b) || d.isBitLocker() {
		return fat{}, false
	}
	sector, sectorsPerCluster := uint64(b.u16(11)), uint64(b[13])
	reserved, tables, medium := uint64(b.u16(14)), uint64(b[16]), b[21]
	if !powerOfTwo(sector, 512, 4096) || !powerOfTwo(sectorsPerCluster, 1, 128) ||
		reserved == 0 || tables == 0 || medium != 0xf0 && medium < 0xf8 {
		return fat{}, false
	}
	sectors := cmp.Or(uint64(b.u16(19)), uint64(b.u32(32)))
	perTable, perTable32 := uint64(b.u16(22)), uint64(b.u32(36))
	f := fat{
		boot: b, sector: sector, cluster: sector * sectorsPerCluster, reserved: reserved * sector,
		directory: uint64(b.u16(17)) * 32, size: sectors * sector,
	}
	most := uint64(fat16Clusters)
	if perTable == 0 {
		f.table32, perTable, most = perTable32*sector, perTable32, fat32Clusters
	}
	f.tables = perTable * tables * sector
	f.dataStart = f.reserved + f.tables + (f.directory+sector-1)/sector*sector
	if perTable == 0 || sectors*sector < f.dataStart {
		return fat{}, false
	}
	f.clusters = (sectors*sector - f.dataStart) / f.cluster
	return f, f.clusters < most
}

// fatMarked says whether a boot sector names FAT, or may be one that does not. JFS and HPFS have sectors that look so.
func fatMarked(b block) bool {
	for _, name := range fatNames {
		if b.has(name.at, name.text) {
			return true
		}
	}
	return b.has(510, "\x55\xaa") && !b.has(0x36, "JFS     ") && !b.has(0x36, "HPFS    ")
}

// validInfo checks the signatures of FAT32's FSInfo sector. Some programs leave it empty.
func (f fat) validInfo(d *disk) bool {
	at := uint64(f.boot.u16(0x30)) * f.sector
	if at == 0 {
		return true
	}
	info := d.at(at, 512)
	if info == nil {
		return false
	}
	return slices.Contains([]string{"RRaA", "RRdA", "\x00\x00\x00\x00"}, string(info[:4])) &&
		slices.Contains([]string{"rrAa", "\x00\x00\x00\x00"}, string(info[484:488]))
}

// chainLabel looks for the label in FAT32's root directory, a chain of clusters.
func (f fat) chainLabel(d *disk) string {
	entries := f.table32 / 4
	next := uint64(f.boot.u32(0x2c))
	for read := uint64(0); next >= 2 && next < entries && read < maxDirectory; read += f.cluster {
		label, more := d.fatLabel(f.dataStart+(next-2)*f.cluster, f.cluster)
		if !more {
			return label
		}
		entry := d.at(f.reserved+next*4, 4)
		if entry == nil {
			break
		}
		next = uint64(entry.u32(0) & 0x0fffffff)
	}
	return ""
}

// fatLabel looks for the label among the directory entries in n bytes from offset on. It is the entry of a volume:
// attribute bit 3, and no file's. More says that neither it nor the directory's end was there.
func (d *disk) fatLabel(offset, n uint64) (label string, more bool) {
	const entry, chunk = 32, 4096
	for at := uint64(0); at < n; at += chunk {
		entries := d.at(offset+at, int(min(chunk, n-at)))
		if entries == nil {
			return "", false
		}
		for ; len(entries) >= entry; entries = entries[entry:] {
			attributes := entries[11] & 0x3f
			switch {
			case entries[0] == 0:
				return "", false
			case entries[0] == 0xe5, entries.u16(20) != 0, entries.u16(26) != 0: // deleted, or has clusters
			case attributes != 0x0f && attributes&0x18 == 0x08: // no long name, no directory
				return fatText(entries), false
			}
		}
	}
	return "", true
}

// fatText is the name in a directory entry. A first byte of 5 stands for 0xe5, which marks deleted ones.
func fatText(entry block) string {
	label := entry.text(0, 11)
	if rest, ok := strings.CutPrefix(label, "\x05"); ok {
		return "\xe5" + rest
	}
	return label
}

// findExFAT checks the main boot sector of exFAT and its sum (exFAT specification, 3.1 and 3.4).
func findExFAT(d *disk) (Content, bool) {
	b := d.at(0, 512)
	if !b.has(0, "\xeb\x76\x90EXFAT   ") || !b.has(510, "\x55\xaa") || !b.zero(11, 53) {
		return Content{}, false
	}
	sectorShift, clusterShift, tables := b[108], b[109], uint64(b[110])
	if sectorShift < 9 || sectorShift > 12 || clusterShift > 25-sectorShift || tables < 1 || tables > 2 {
		return Content{}, false
	}
	fatAt, fatLength, heapAt, clusters := uint64(b.u32(80)), uint64(b.u32(84)), uint64(b.u32(88)), uint64(b.u32(92))
	root := uint64(b.u32(96))
	if fatAt < 24 || fatAt+fatLength*tables > heapAt || root < 2 || root > clusters+1 || !d.exFATSum(1<<sectorShift) {
		return Content{}, false
	}
	sector := uint64(1) << sectorShift
	label := d.exFATLabel(fatAt*sector, heapAt*sector, sector<<clusterShift, root)
	return Content{
		Version: fmt.Sprintf("%d.%d", b[105], b[104]), UUID: fatSerial(b[100:104]), Label: label,
		Bytes: product(b.u64(72), sector),
	}, true
}

// exFATSum checks the sum over the first eleven sectors, which fills the twelfth.
func (d *disk) exFATSum(sector int) bool {
	region := d.at(0, 12*sector)
	if region == nil {
		return false
	}
	sum := uint32(0)
	for i, c := range region[:11*sector] {
		if i != 106 && i != 107 && i != 112 { // what changes while it is mounted
			sum = sum<<31 | sum>>1
			sum += uint32(c)
		}
	}
	for at := 11 * sector; at < 12*sector; at += 4 {
		if region.u32(at) != sum {
			return false
		}
	}
	return true
}

// exFATLabel looks for the label in the root directory, a chain of clusters from root on (exFAT specification, 7.3).
// Offsets and sizes are in bytes.
func (d *disk) exFATLabel(fatAt, heapAt, cluster, root uint64) string {
	const entry, label, last = 32, 0x83, 0xfffffff6
	chunk := min(cluster, 4096)
	for read := uint64(0); root >= 2 && root <= last && read < maxDirectory; read += cluster {
		start := heapAt + (root-2)*cluster
		for at := uint64(0); at < cluster && read+at < maxDirectory; at += chunk {
			entries := d.at(start+at, int(chunk))
			if entries == nil {
				return ""
			}
			for ; len(entries) > 0; entries = entries[entry:] {
				switch entries[0] {
				case 0: // the end
					return ""
				case label:
					return entries.utf16(binary.LittleEndian, 2, 2*min(int(entries[1]), 11))
				}
			}
		}
		next := d.at(fatAt+root*4, 4)
		if next == nil {
			return ""
		}
		root = uint64(next.u32(0))
	}
	return ""
}
