package lvm

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/devmapper"
	"github.com/zerodisc/zerodisc/internal/md"
)

// arrays are the kinds of segments that are RAID arrays: levels and layouts of the driver (drivers/md/dm-raid.c,
// raid_types; raid5.h). LVM's RAID 4 has the parity on the first member, md's own on the last.
var arrays = map[string]md.Geometry{
	"raid1":       {Level: md.RAID1},
	"raid4":       {Level: md.RAID5, Layout: 4},
	"raid5":       {Level: md.RAID5, Layout: 2},
	"raid5_la":    {Level: md.RAID5, Layout: 0},
	"raid5_ra":    {Level: md.RAID5, Layout: 1},
	"raid5_ls":    {Level: md.RAID5, Layout: 2},
	"raid5_rs":    {Level: md.RAID5, Layout: 3},
	"raid5_n":     {Level: md.RAID5, Layout: 5},
	"raid6":       {Level: md.RAID6, Layout: 8},
	"raid6_zr":    {Level: md.RAID6, Layout: 8},
	"raid6_nr":    {Level: md.RAID6, Layout: 9},
	"raid6_nc":    {Level: md.RAID6, Layout: 10},
	"raid6_n_6":   {Level: md.RAID6, Layout: 5},
	"raid6_la_6":  {Level: md.RAID6, Layout: 16},
	"raid6_ra_6":  {Level: md.RAID6, Layout: 17},
	"raid6_ls_6":  {Level: md.RAID6, Layout: 18},
	"raid6_rs_6":  {Level: md.RAID6, Layout: 19},
	"raid10":      {Level: md.RAID10, Layout: 1 << 8},
	"raid10_near": {Level: md.RAID10, Layout: 1 << 8},
}

// array works out a RAID volume: its parts, an array of those that are up to date, and that as the only area. A
// single copy needs no array.
func (p *planner) array(l *logical, s *segment, g md.Geometry, depth int) ([]devmapper.Area, int, error) {
	g.Disks, g.Chunk = len(s.areas), s.chunk*sector
	if g.Level == md.RAID10 {
		g.Layout |= uint32(max(s.copies, 2)) // the field's limit is what the layout has room for
	}
	if g.Level == md.RAID1 {
		g.Chunk = 0
	}
	switch {
	case s.reshaped:
		return nil, 0, errors.New("its shape was changed, and where its data begin is not supported")
	case len(l.segments) > 1:
		return nil, 0, fmt.Errorf("an array of %d segments", len(l.segments))
	case len(s.meta) != len(s.areas):
		return nil, 0, errors.New("an array without the driver's metadata")
	}
	if err := g.Check(); err != nil {
		return nil, 0, err
	}
	members, height, err := p.members(l, s, g, depth)
	if err != nil {
		return nil, 0, err
	}
	if g.Level == md.RAID1 {
		if single, ok := only(members); ok {
			return []devmapper.Area{{Device: single}}, height, nil
		}
	}
	v := Volume{
		Name: arrayName(p.group.id, l.id), Title: p.group.name + "/" + l.name, Hidden: true, Array: &Array{g, members},
	}
	p.add("", v)
	return []devmapper.Area{{Device: v.Name}}, height, nil
}

// only returns the member of an array that has no other.
func only(members []string) (string, bool) {
	found := ""
	for _, m := range members {
		if m != "" && found != "" {
			return "", false
		}
		if m != "" {
			found = m
		}
	}
	return found, found != ""
}

// arrayName names the array inside of a logical volume. No volume can have that name: LVM knows no colons. The kernel
// would take an exclamation mark for a slash. A volume's UUID is that of its copy in another group.
func arrayName(group, volume string) string {
	sum := sha256.Sum256([]byte(group + volume))
	return boot.ArrayInVolume + hex.EncodeToString(sum[:8])
}

// members works out the parts of an array. Those that are missing or out of date are left out.
func (p *planner) members(l *logical, s *segment, g md.Geometry, depth int) (names []string, height int, err error) {
	states, clean, err := p.states(s, g)
	if err != nil {
		return nil, 0, err
	}
	names, present := make([]string, g.Disks), make([]bool, g.Disks)
	var why error
	for i, a := range s.areas {
		var below int
		var found devmapper.Area
		err := states[i]
		if err == nil {
			found, below, err = p.area(a, 1, depth)
		}
		if err == nil && g.Sectors(p.group.byName[a.name].extents()*p.group.extent) < s.count*p.group.extent {
			err = fmt.Errorf("%s is too small", a.name)
		}
		if err != nil {
			why = err
			continue
		}
		names[i], present[i], height = found.Device, true, max(height, below)
	}
	complete := why == nil
	switch {
	case !g.Enough(present):
		return nil, 0, fmt.Errorf("too few of its parts can be read: %w", why)
	case !clean && g.Parity() && !complete:
		return nil, 0, fmt.Errorf("it was being written to when it stopped, and lacks a part: %w", why)
	}
	if !complete {
		p.degraded = true
		p.notes = append(p.notes, fmt.Sprintf("%s is read without a part of it: %v", l.name, why))
	}
	if !clean {
		g.Single(present)
	}
	for i := range names {
		if !present[i] {
			names[i] = ""
		}
	}
	return names, height, nil
}

// states says of each part of an array whether it is up to date, and whether nothing was being written.
func (p *planner) states(s *segment, g md.Geometry) (states []error, clean bool, err error) {
	parts, newest := make([]*part, g.Disks), (*part)(nil)
	states = make([]error, g.Disks)
	for i, name := range s.meta {
		parts[i], states[i] = p.readPart(name)
		if parts[i] != nil && (newest == nil || parts[i].events > newest.events) {
			newest = parts[i]
		}
	}
	if newest == nil { // it has never been used
		return states, false, nil
	}
	if newest.level != uint32(g.Level) || newest.layout != g.Layout || uint64(newest.chunk)*sector != g.Chunk ||
		newest.reshaping || newest.dataOffset != 0 {
		return nil, false, errors.New("its shape was being changed; let the PC finish that")
	}
	for i := range parts {
		if states[i] == nil {
			states[i] = parts[i].usable(i, newest, s.meta[i])
		}
	}
	return states, newest.clean, nil
}

// part is what the driver keeps of one part of an array (struct dm_raid_superblock).
type part struct {
	position             uint32
	events               uint64
	failed               [4]uint64 // a bit for each part
	recovered            uint64
	level, layout, chunk uint32
	reshaping            bool
	dataOffset           uint64
	clean                bool
}

const (
	partMagic = "DmRd"
	allDone   = ^uint64(0)
)

// readPart reads what the driver keeps in the volume name; nil without an error if it has never been there.
func (p *planner) readPart(name string) (*part, error) {
	device, start, size, err := p.locate(name)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 4096)
	if _, err := device.ReadAt(b, start); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if string(b[:4]) != partMagic {
		return nil, nil
	}
	u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
	u64 := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	const extended = 1 // in the second field: there is more than the driver had at first
	found := &part{
		position: u32(12), events: u64(16), failed: [4]uint64{u64(24)}, recovered: u64(32),
		level: u32(48), layout: u32(52), chunk: u32(56), clean: u64(40) == allDone,
	}
	if u32(4)&extended != 0 {
		found.reshaping, found.dataOffset = u32(60)&1 != 0, u64(96)
		copy(found.failed[1:], []uint64{u64(120), u64(128), u64(136)})
	}
	dirty, err := readBitmap(device, start+4096, size-4096, found.events)
	found.clean = found.clean && !dirty
	return found, err
}

// usable says whether part i is as the newest has it.
func (d *part) usable(i int, newest *part, name string) error {
	switch {
	case d == nil, d.position != uint32(i), d.events+1 < newest.events, newest.failed[i/64]>>(i%64)&1 != 0:
		return fmt.Errorf("%s is out of date", name)
	case d.recovered != allDone:
		return fmt.Errorf("%s is only partly filled", name)
	}
	return nil
}

// locate finds the bytes of a small volume, whose first segment counts.
func (p *planner) locate(name string) (device io.ReaderAt, start, size int64, err error) {
	l := p.group.byName[name]
	if l == nil || len(l.segments) == 0 || len(l.segments[0].areas) != 1 {
		return nil, 0, 0, fmt.Errorf("%.128q is not there, or not a simple volume", name)
	}
	s := l.segments[0]
	physical, ok := p.group.pvs[s.areas[0].name]
	if !ok {
		return nil, 0, 0, fmt.Errorf("%s is being moved", name)
	}
	found, err := p.physical(s.areas[0], physical, s.count)
	if err != nil {
		return nil, 0, 0, err
	}
	return p.present[s.areas[0].name].Data, int64(found.Start) * sector, int64(s.count*p.group.extent) * sector, nil
}

// readBitmap reads a write-intent bitmap (drivers/md/md-bitmap.h), which has a bit for each region of an array that is
// being written to, and says whether one is set. events is the array's count: an older bitmap says nothing.
func readBitmap(device io.ReaderAt, at, room int64, events uint64) (dirty bool, err error) {
	const header, magic, stale, maxBitmap = 256, "bitm", 1, 1 << 20
	b := make([]byte, header)
	if _, err := device.ReadAt(b, at); err != nil {
		return false, fmt.Errorf("read the array's bitmap: %w", err)
	}
	sectors, chunk := binary.LittleEndian.Uint64(b[40:]), uint64(binary.LittleEndian.Uint32(b[52:]))/sector
	if string(b[:4]) != magic || binary.LittleEndian.Uint64(b[24:]) < events || b[48]&stale != 0 || chunk == 0 {
		return true, nil
	}
	bits := (sectors + chunk - 1) / chunk
	if sectors > maxSectors || bits/8 >= uint64(min(max(room-header, 0), maxBitmap)) {
		return true, nil
	}
	bitmap := make([]byte, (bits+7)/8)
	if _, err := device.ReadAt(bitmap, at+header); err != nil {
		return false, fmt.Errorf("read the array's bitmap: %w", err)
	}
	if rest := bits % 8; rest != 0 { // what follows is filled up with ones
		bitmap[len(bitmap)-1] &= 1<<rest - 1
	}
	for _, b := range bitmap {
		dirty = dirty || b != 0
	}
	return dirty, nil
}
