package blkid

import (
	"encoding/binary"
	"fmt"
)

// Linux RAID's superblocks (Linux, include/uapi/linux/raid/md_p.h). That of version 0.90 is at the last boundary of
// 64 KiB that leaves as much behind it, that of 1.0 at least 8 KiB before the end, 1.1 at the start, 1.2 4 KiB
// behind it.
const (
	raidMagic    = 0xa92b4efc
	raidReserved = 64 << 10
)

func findRAID(d *disk) (Content, bool) {
	size := uint64(d.size)
	if content, ok := d.raid0(size&^(raidReserved-1) - raidReserved); ok {
		return content, true
	}
	for _, at := range []struct {
		version string
		offset  uint64
	}{
		{"1.0", size&^0xfff - 0x2000}, {"1.1", 0}, {"1.2", 0x1000},
	} {
		if content, ok := d.raid1(at.offset); ok {
			content.Version = at.version
			return content, true
		}
	}
	return Content{}, false
}

// raid0 reads a superblock of version 0.90, which is in the order of bytes of the machine that wrote it.
func (d *disk) raid0(at uint64) (Content, bool) {
	sb := d.at(at, 64)
	if sb == nil {
		return Content{}, false
	}
	var order binary.ByteOrder = binary.LittleEndian
	if order.Uint32(sb) != raidMagic {
		order = binary.BigEndian
	}
	word := func(n int) uint32 { return order.Uint32(sb[4*n:]) }
	used := uint64(word(8)) << 10 // of each device
	if word(0) != raidMagic || used > at || used+raidReserved > uint64(d.size) {
		return Content{}, false
	}
	var id [16]byte
	binary.BigEndian.PutUint32(id[:], word(5))
	if word(2) >= 90 {
		for i, n := range []int{13, 14, 15} {
			binary.BigEndian.PutUint32(id[4+4*i:], word(n))
		}
	}
	return Content{
		Version: fmt.Sprintf("%d.%d.%d", word(1), word(2), word(3)), UUID: block(id[:]).uuid(0),
	}, true
}

// raid1 reads a superblock of version 1 and checks that it is where it says, and its sum.
func (d *disk) raid1(at uint64) (Content, bool) {
	const fixed, sumAt, maxDevices = 256, 216, 1920 // in 4 KiB
	sb := d.at(at, fixed)
	if sb == nil || sb.u32(0) != raidMagic || sb.u32(4) != 1 || sb.u64(144) != at/512 || sb.u32(220) > maxDevices {
		return Content{}, false
	}
	whole := d.at(at, fixed+2*int(sb.u32(220)))
	if whole == nil || raidSum(whole, sumAt) != whole.u32(sumAt) {
		return Content{}, false
	}
	return Content{UUID: sb.uuid(16), SubUUID: sb.uuid(168), Label: sb.text(32, 32)}, true
}

// raidSum adds up all words but the sum itself, and folds the carry once.
func raidSum(sb block, sumAt int) uint32 {
	var sum uint64
	for at := 0; at+4 <= len(sb); at += 4 {
		if at != sumAt {
			sum += uint64(sb.u32(at))
		}
	}
	if len(sb)%4 == 2 {
		sum += uint64(sb.u16(len(sb) - 2))
	}
	return uint32(sum) + uint32(sum>>32)
}

// inPartition says of a superblock of version 0.90 that it is that of the last partition and not of the disk: it is
// at the same place for both.
func (d *disk) inPartition(table Table, content Content) bool {
	if content.Type != "linux_raid_member" || content.Version[0] != '0' {
		return false
	}
	at := d.size&^(raidReserved-1) - raidReserved
	for _, p := range table.Partitions {
		start, end := p.Start*512, (p.Start+p.Sectors)*512
		if start <= at && at < end {
			return true
		}
	}
	return false
}
