// Package md reads the superblocks of Linux's software RAID (linux/raid/md_p.h), finds out which disks make up an array
// in its newest state, and starts arrays for reading only.
//
// The kernel gets to see the disks' data and never their superblocks, as with mdadm --build. If it knew those
// it would want to write them. Measured with Linux 6.12 on members that refuse writes: an array with a write-intent
// bitmap, which mdadm makes by itself on large disks, has the bitmap's header written as it starts; that fails, and
// the driver throws its members out one after the other. So this package does what the driver does with superblocks.
package md

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/zerodisc/zerodisc/internal/printable"
)

const (
	magic      = 0xa92b4efc
	sector     = 512
	blockSize  = 4096 // of a superblock of either kind, as much as the driver reads
	inSync     = ^uint64(0)
	maxSectors = 1 << 54 // of a device: 8 EiB
)

// UUID is an array's identity.
type UUID [16]byte

// String writes it as mdadm does.
func (u UUID) String() string { return fmt.Sprintf("%x:%x:%x:%x", u[:4], u[4:8], u[8:12], u[12:]) }

// Member is a disk or partition with a superblock. Sectors have 512 bytes.
type Member struct {
	Device string // whatever the caller knows it by
	Array  UUID
	name   string // of the array, as its owner gave it; not to be trusted
	Geometry
	size    uint64 // sectors that the array uses on each member; with RAID 0 and linear ones each uses all it has
	start   uint64 // first sector of the data
	length  uint64 // sectors of data, at least size
	number  int    // the member's entry in roles
	roles   []role // what the members are, as far as this one knows
	events  uint64 // how many changes of the array's state it has seen
	clean   bool   // nothing was being written
	refused string // why the array cannot be read, "" if it can
	left    string // why this member cannot, although the array lists it
	created uint64
}

// role is a member's place in the array, or unused.
type role int

const unused role = -1

// places are where the kinds of superblocks are, in sectors, on a device of so many sectors.
var places = []struct {
	version string
	at      func(sectors uint64) uint64
	parse   func(block []byte, at, sectors uint64) (*Member, error)
}{
	{"1.1", func(uint64) uint64 { return 0 }, parse1},
	{"1.2", func(uint64) uint64 { return 8 }, parse1},
	{"1.0", func(sectors uint64) uint64 { return (sectors - 16) &^ 7 }, parse1},
	{"0.90", func(sectors uint64) uint64 { return sectors&^127 - 128 }, parse090},
}

// errNone says that a block is no superblock.
var errNone = errors.New("no superblock")

// Read looks for a superblock on a device of size bytes; nil means that there is none. Of several the one of
// the array that was made last counts, as with mdadm: the others are left over.
func Read(device io.ReaderAt, size int64) (*Member, error) {
	sectors := uint64(size) / sector
	if size < 0 || sectors > maxSectors {
		return nil, fmt.Errorf("read RAID superblock: a device of %d bytes", size)
	}
	if sectors < 256 {
		return nil, nil
	}
	var newest *Member
	var errs []error
	for _, place := range places {
		at := place.at(sectors)
		block := make([]byte, blockSize)
		if _, err := device.ReadAt(block, int64(at)*sector); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read RAID superblock: %w", err)
		}
		m, err := place.parse(block, at, sectors)
		switch {
		case errors.Is(err, errNone):
		case err != nil:
			errs = append(errs, fmt.Errorf("RAID superblock (version %s): %w", place.version, err))
		case newest == nil || m.created > newest.created:
			newest = m
		}
	}
	if newest != nil {
		return newest, nil
	}
	return nil, errors.Join(errs...)
}

// Bits of a superblock's feature_map.
const (
	featureRecovery    = 1 << 1 // the member is being filled
	featureReshape     = 1 << 2
	featureBadBlocks   = 1 << 3
	featureReplacement = 1 << 4
	featureClustered   = 1 << 8
	featureJournal     = 1 << 9
	featureRAID0Layout = 1 << 12
	featuresKnown      = 1<<13 - 1
)

// Offsets in a superblock of version 1 (struct mdp_superblock_1), and sizes.
const (
	rolesAt  = 256
	maxRoles = (blockSize - rolesAt) / 2

	roleMax = 0xff00 // beyond are spare, faulty and journal devices
)

// parse1 reads a superblock of version 1, which says itself at which sector it is. One that is elsewhere is another
// device's: a partition at the end of a disk ends where the disk does.
func parse1(b []byte, at, sectors uint64) (*Member, error) {
	u16 := func(at int) uint16 { return binary.LittleEndian.Uint16(b[at:]) }
	u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
	u64 := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	if u32(0) != magic || u32(4) != 1 || u64(144) != at {
		return nil, errNone
	}
	count := u32(220)
	if count > maxRoles {
		return nil, fmt.Errorf("%d devices, at most %d fit in", count, maxRoles)
	}
	if got, want := sum1(b, int(count)), u32(216); got != want {
		return nil, fmt.Errorf("its checksum is %08x and should be %08x", want, got)
	}
	m := &Member{
		Array: UUID(b[16:32]), name: text(b[32:64]), created: u64(64) & (1<<40 - 1),
		Geometry: Geometry{
			Level: Level(int32(u32(72))), Layout: u32(76), Chunk: uint64(u32(88)) * sector, Disks: int(u32(92)),
		},
		size: u64(80), start: u64(128), length: u64(136),
		number: int(u32(160)), events: u64(200), clean: u64(208) == inSync,
	}
	for i := range int(count) {
		r := unused
		if value := u16(rolesAt + 2*i); value < roleMax {
			r = role(value)
		}
		m.roles = append(m.roles, r)
	}
	features := u32(8)
	m.refused, m.left = judge(features)
	if m.Level == RAID0 && features&featureRAID0Layout == 0 {
		m.Layout = 0
	}
	return m, m.check(sectors)
}

// judge says what a superblock's features mean for the array and for the member.
func judge(features uint32) (array, member string) {
	for _, f := range []struct {
		bits       uint32
		array, why string
	}{
		{^uint32(featuresKnown), "it uses features that are not known here", ""},
		{featureReshape, "its shape was being changed; let the PC finish that", ""},
		{featureJournal, "what was written last may only be in its journal", ""},
		{featureClustered, "several hosts write to it at a time", ""},
		{featureRecovery, "", "is only partly filled"},
		{featureReplacement, "", "is to replace another one and only partly filled"},
		{featureBadBlocks, "", "has bad blocks"},
	} {
		if features&f.bits != 0 && array == "" && member == "" {
			array, member = f.array, f.why
		}
	}
	return array, member
}

// sum1 is the checksum of a superblock of version 1 with count roles (drivers/md/md.c, calc_sb_1_csum).
func sum1(b []byte, count int) uint32 {
	var sum uint64
	size := rolesAt + 2*count
	for i := 0; i+4 <= size; i += 4 {
		if i != 216 {
			sum += uint64(binary.LittleEndian.Uint32(b[i:]))
		}
	}
	if size%4 == 2 {
		sum += uint64(binary.LittleEndian.Uint16(b[size-2:]))
	}
	return uint32(sum) + uint32(sum>>32)
}

// Bits of a device's state in a superblock of version 0.90.
const (
	diskFaulty  = 1 << 0
	diskSync    = 1 << 2
	diskRemoved = 1 << 3
)

// parse090 reads a superblock of version 0.90 (struct mdp_superblock_s). It is in the byte order of the machine that
// wrote it; only ours is read.
func parse090(b []byte, at, sectors uint64) (*Member, error) {
	const disks, disksAt, diskSize, selfAt, sumAt = 27, 512, 128, 3968, 152
	u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
	if binary.BigEndian.Uint32(b) == magic {
		return nil, errors.New("it was made on a machine with another byte order")
	}
	if u32(0) != magic || u32(4) != 0 {
		return nil, errNone
	}
	if got, want := sum090(b, sumAt), u32(sumAt); got != want {
		return nil, fmt.Errorf("its checksum is %08x and should be %08x", want, got)
	}
	m := &Member{
		name: fmt.Sprint(u32(44)), created: uint64(u32(24)),
		Geometry: Geometry{
			Level: Level(int32(u32(28))), Layout: u32(256), Chunk: uint64(u32(260)), Disks: int(u32(40)),
		},
		size: uint64(u32(32)) * 2, length: at,
		number: int(u32(selfAt)), events: uint64(u32(160))<<32 | uint64(u32(156)), clean: u32(132)&1 != 0,
	}
	for i, word := range []int{20, 52, 56, 60} {
		binary.BigEndian.PutUint32(m.Array[4*i:], u32(word))
	}
	for i := range disks {
		entry := disksAt + i*diskSize
		r := unused
		if u32(entry+16)&(diskFaulty|diskSync|diskRemoved) == diskSync {
			r = role(u32(entry + 12))
		}
		m.roles = append(m.roles, r)
	}
	if minor := u32(8); minor != 90 {
		m.refused, _ = judge(featureReshape)
	}
	if m.Level == RAID0 {
		m.Layout = 0 // this version does not record it
	}
	return m, m.check(sectors)
}

// sum090 is the checksum of a superblock of version 0.90 (drivers/md/md.c, calc_sb_csum).
func sum090(b []byte, sumAt int) uint32 {
	var sum uint64
	for i := 0; i < blockSize; i += 4 {
		if i != sumAt {
			sum += uint64(binary.LittleEndian.Uint32(b[i:]))
		}
	}
	return uint32(sum) + uint32(sum>>32)
}

// text is a name that NULs fill up.
func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

// check holds a superblock against a device of so many sectors.
func (m *Member) check(sectors uint64) error {
	if m.start > sectors || m.length > sectors-m.start || m.length == 0 {
		return fmt.Errorf("it speaks of sectors %d to %d, and the device has %d; has it been cut off?",
			m.start, m.start+m.length, sectors)
	}
	if m.size > m.length {
		return fmt.Errorf("it speaks of %d sectors, and the device has room for %d; has it been cut off?",
			m.size, m.length)
	}
	if m.number < 0 || m.number >= len(m.roles) {
		return fmt.Errorf("it is number %d of %d devices", m.number, len(m.roles))
	}
	return nil
}

// title is the array's name for people.
func (m *Member) title() string {
	if m.name == "" {
		return m.Array.String()
	}
	return fmt.Sprintf("%s (%s)", printable.Line(m.name), m.Array)
}
