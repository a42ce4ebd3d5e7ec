package lvm

import (
	"cmp"
	"fmt"
	"slices"
)

// use is a range of a physical volume that a logical volume has.
type use struct {
	first, end uint64
	by         string
}

// overlaps finds logical volumes that have extents in common, which no tool of LVM's would make: one of them reads
// what is the other's. It returns what to say of each.
func (g *group) overlaps() map[string]string {
	broken := map[string]string{}
	for _, uses := range g.uses() {
		slices.SortFunc(uses, func(a, b use) int { return cmp.Compare(a.first, b.first) })
		for i, furthest := 1, 0; i < len(uses); i++ {
			a, b := uses[furthest], uses[i]
			if b.first < a.end {
				broken[a.by] = fmt.Sprintf("it has extents in common with %s", b.by)
				broken[b.by] = fmt.Sprintf("it has extents in common with %s", a.by)
			}
			if b.end > a.end {
				furthest = i
			}
		}
	}
	return broken
}

// uses lists by physical volumes what the logical ones have of them.
func (g *group) uses() map[string][]use {
	uses := map[string][]use{}
	for _, l := range g.lvs {
		for _, s := range l.segments {
			length := s.count
			if s.kind == "striped" && len(s.areas) > 0 {
				length /= uint64(len(s.areas))
			}
			for _, a := range s.areas {
				if _, ok := g.pvs[a.name]; ok && !a.part {
					uses[a.name] = append(uses[a.name], use{a.extent, a.extent + length, l.name})
				}
			}
		}
	}
	return uses
}
