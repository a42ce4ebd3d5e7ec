package md

import "fmt"

// Level is how an array's data are laid out over its members.
type Level int

// The levels that can be read, as superblocks have them.
const (
	Linear Level = -1
	RAID0  Level = 0
	RAID1  Level = 1
	RAID4  Level = 4
	RAID5  Level = 5
	RAID6  Level = 6
	RAID10 Level = 10
)

// maxDisks bounds an array.
const maxDisks = 256

const (
	minChunk = 4096 // bytes: a page, for the levels whose driver works by pages
	maxChunk = 1 << 30
)

// Geometry is an array's shape.
type Geometry struct {
	Level  Level
	Layout uint32 // as the driver of the level numbers them
	Chunk  uint64 // bytes in a row on one member; 0 where the level has none
	Disks  int    // members of the complete array
}

// Check refuses what no driver could start.
func (g Geometry) Check() error {
	least, striped := 1, true
	switch g.Level {
	case Linear, RAID1:
		striped = false
	case RAID0:
	case RAID4, RAID5:
		least = 2
	case RAID6:
		least = 4
	case RAID10:
		least = 2
		if n := g.copies(); n < 2 || n > g.Disks || g.Layout>>19 != 0 {
			return fmt.Errorf("RAID 10 layout %#x is not known", g.Layout)
		}
	default:
		return fmt.Errorf("RAID level %d cannot be read", g.Level)
	}
	if g.Disks < least || g.Disks > maxDisks {
		return fmt.Errorf("%d members: want %d to %d", g.Disks, least, maxDisks)
	}
	if striped && (g.Chunk < minChunk || g.Chunk > maxChunk || g.Chunk%sector != 0) {
		return fmt.Errorf("chunks of %d bytes: want %d to %d", g.Chunk, minChunk, maxChunk)
	}
	if striped && g.Level != RAID0 && g.Chunk&(g.Chunk-1) != 0 {
		return fmt.Errorf("chunks of %d bytes: want a power of two", g.Chunk)
	}
	return nil
}

// near and far are how often RAID 10 has each chunk side by side, and in parts of the members far from each other.
func (g Geometry) near() int { return int(g.Layout & 0xff) }
func (g Geometry) far() int  { return int(g.Layout >> 8 & 0xff) }

func (g Geometry) copies() int { return g.near() * g.far() }

// Enough says whether an array can be read with the members that are present, by their places.
func (g Geometry) Enough(present []bool) bool {
	missing := len(present)
	for _, p := range present {
		if p {
			missing--
		}
	}
	switch g.Level {
	case RAID1:
		return missing < len(present)
	case RAID4, RAID5:
		return missing <= 1
	case RAID6:
		return missing <= 2
	case RAID10:
		return g.enough10(present)
	}
	return missing == 0
}

// enough10 looks at the members that have the copies of each chunk (drivers/md/raid10.c, _enough).
func (g Geometry) enough10(present []bool) bool {
	for first, again := 0, false; first != 0 || !again; first, again = (first+g.near())%len(present), true {
		found := false
		for i := range g.copies() {
			found = found || present[(first+i)%len(present)]
		}
		if !found {
			return false
		}
	}
	return true
}

// Single takes members away from present as long as there is still one copy of everything. Copies differ where
// something was being written when the array stopped, and whoever reads must not get now one and now the other.
func (g Geometry) Single(present []bool) {
	if g.Level != RAID1 && g.Level != RAID10 {
		return
	}
	for i := len(present) - 1; i >= 0; i-- {
		if present[i] {
			present[i] = false
			present[i] = !g.Enough(present)
		}
	}
}

// Parity says whether what a missing member had is worked out from the others.
func (g Geometry) Parity() bool { return g.Level == RAID4 || g.Level == RAID5 || g.Level == RAID6 }

// Sectors is how much an array has room for whose members have so many sectors each.
func (g Geometry) Sectors(member uint64) uint64 {
	chunk := max(g.Chunk/sector, 1)
	member -= member % chunk
	disks := uint64(g.Disks)
	switch g.Level {
	case RAID1:
		return member
	case RAID4, RAID5:
		return member * (disks - 1)
	case RAID6:
		return member * (disks - 2)
	case RAID10:
		return member / chunk / uint64(g.far()) * disks / uint64(g.near()) * chunk
	}
	return member * disks
}
