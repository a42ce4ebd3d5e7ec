package lvm

import (
	"errors"
	"fmt"

	"github.com/zerodisc/zerodisc/internal/lazyregexp"
)

// group is a volume group as its metadata describe it.
type group struct {
	id, name string
	seqno    uint64
	refused  string // why none of it can be read, "" if it can
	extent   uint64 // sectors
	pvs      map[string]physical
	order    []string // names of the physical volumes, in their order
	lvs      []*logical
	byName   map[string]*logical
}

// physical is what a group knows of a physical volume.
type physical struct {
	id           string
	device       string // where it was when the metadata were written
	missing      bool   // it was away while the group changed: what it has may be old
	start, count uint64 // of its extents: first sector, how many
}

// logical is a logical volume.
type logical struct {
	name, id string
	visible  bool
	segments []segment
}

// segment is a range of a logical volume, in extents.
type segment struct {
	start, count uint64
	kind         string
	chunk        uint64 // sectors; 0 where it does not apply
	copies       uint64 // of RAID 10
	areas        []area // of physical or logical volumes, in the order of the text
	meta         []string
	reshaped     bool // data do not begin where its parts do
	origin, cow  string
	merging      bool
}

// area is a part of a volume.
type area struct {
	name   string // of a physical or logical volume
	part   bool   // a logical one, whatever physical one has the name
	extent uint64 // the first one
}

// Limits of numbers, so that no product of two overflows.
const (
	maxExtent  = 1 << 31 // sectors
	maxExtents = 1 << 32 // of a volume
	maxChunk   = 1 << 21 // sectors
)

// safeName is what LVM accepts as a name (lib/misc/lvm-string.c), so that no path and no escape sequence is one.
var safeName = lazyregexp.New(`^[A-Za-z0-9+_.][A-Za-z0-9+_.-]{0,126}$`)

func validName(name string) bool { return safeName.MatchString(name) && name != "." && name != ".." }

// parseGroup reads the text of a group's metadata.
func parseGroup(content []byte) (*group, error) {
	root, err := parseText(string(content))
	if err != nil {
		return nil, err
	}
	if root.text("contents") != "Text Format Volume Group" {
		return nil, errors.New("they describe no volume group")
	}
	if version, err := root.number("version", 0, 1); err != nil || version != 1 {
		return nil, errors.New("they have another version than 1")
	}
	for _, n := range root.children {
		if n.section {
			g, err := newGroup(n)
			if err != nil {
				return nil, fmt.Errorf("volume group %.128q: %w", n.key, err)
			}
			return g, nil
		}
	}
	return nil, errors.New("they have no volume group")
}

func newGroup(n *node) (*group, error) {
	g := &group{name: n.key, pvs: map[string]physical{}, byName: map[string]*logical{}}
	if !validName(g.name) {
		return nil, errors.New("that is no name for one")
	}
	var ok bool
	if g.id, ok = parseID(n.text("id")); !ok {
		return nil, errors.New("it has no UUID")
	}
	var err error
	if g.seqno, err = n.number("seqno", 0, 1<<62); err != nil {
		return nil, err
	}
	if g.extent, err = n.number("extent_size", 0, maxExtent); err != nil || g.extent == 0 {
		return nil, fmt.Errorf("extent_size: want 1 to %d", maxExtent)
	}
	g.refused = refused(n)
	if err := g.readPhysical(n.child("physical_volumes")); err != nil {
		return nil, err
	}
	return g, g.readLogical(n.child("logical_volumes"))
}

// refused says why a group as a whole cannot be read.
func refused(n *node) string {
	lock := n.text("lock_type")
	switch {
	case n.has("status", "EXPORTED"):
		return "it has been exported; vgimport on the PC it belongs to undoes that"
	case n.has("status", "CLUSTERED"), lock != "" && lock != "none":
		return "it is shared with other hosts, which may write to it at any time"
	}
	return ""
}

func (g *group) readPhysical(section *node) error {
	if section == nil {
		return errors.New("it has no physical volumes")
	}
	seen := map[string]bool{}
	for _, n := range section.children {
		id, ok := parseID(n.text("id"))
		if !ok || seen[id] {
			return fmt.Errorf("physical volume %.40q: no UUID, or that of another one", n.key)
		}
		p := physical{id: id, device: n.text("device"), missing: n.has("flags", "MISSING")}
		var err error
		if p.start, err = n.number("pe_start", 0, maxSectors); err != nil {
			return fmt.Errorf("physical volume %.40q: %w", n.key, err)
		}
		if p.count, err = n.number("pe_count", 0, maxExtents); err != nil {
			return fmt.Errorf("physical volume %.40q: %w", n.key, err)
		}
		if _, twice := g.pvs[n.key]; twice {
			return fmt.Errorf("physical volume %.40q is there twice", n.key)
		}
		g.pvs[n.key] = p
		g.order = append(g.order, n.key)
		seen[id] = true
	}
	return nil
}

func (g *group) readLogical(section *node) error {
	if section == nil {
		return nil
	}
	seen := map[string]bool{}
	for _, n := range section.children {
		l, err := newLogical(n)
		if err != nil {
			return fmt.Errorf("logical volume %.128q: %w", n.key, err)
		}
		if g.byName[l.name] != nil || seen[l.id] {
			return fmt.Errorf("logical volume %.128q: its name or its UUID is there twice", n.key)
		}
		g.byName[l.name], seen[l.id] = l, true
		g.lvs = append(g.lvs, l)
	}
	return nil
}

func newLogical(n *node) (*logical, error) {
	l := &logical{name: n.key, visible: n.has("status", "VISIBLE")}
	if !validName(l.name) {
		return nil, errors.New("that is no name for one")
	}
	var ok bool
	if l.id, ok = parseID(n.text("id")); !ok {
		return nil, errors.New("it has no UUID")
	}
	next := uint64(0)
	for _, c := range n.children {
		if !c.section {
			continue
		}
		s, err := newSegment(c)
		if err != nil {
			return nil, fmt.Errorf("%.40q: %w", c.key, err)
		}
		if s.start != next {
			return nil, fmt.Errorf("%.40q starts at extent %d and not at %d", c.key, s.start, next)
		}
		if next += s.count; next > maxExtents {
			return nil, fmt.Errorf("more than %d extents", uint64(maxExtents))
		}
		l.segments = append(l.segments, s)
	}
	return l, nil
}

// newSegment reads what all kinds have, and the lists of those kinds that can be read.
func newSegment(n *node) (segment, error) {
	s := segment{
		kind: n.text("type"), origin: n.text("origin"), cow: n.text("cow_store"),
		reshaped: n.child("data_offset") != nil || n.child("reshape_count") != nil,
	}
	if store := n.text("merging_store"); store != "" {
		s.cow, s.merging = store, true
	}
	for _, field := range []struct {
		to    *uint64
		key   string
		limit uint64
	}{
		{&s.start, "start_extent", maxExtents}, {&s.count, "extent_count", maxExtents},
		{&s.chunk, "stripe_size", maxChunk}, {&s.copies, "data_copies", 255},
	} {
		var err error
		if *field.to, err = n.number(field.key, 0, field.limit); err != nil {
			return s, err
		}
	}
	if s.count == 0 {
		return s, errors.New("no extents")
	}
	return s, s.readAreas(n)
}

// readAreas reads what a segment is made of: pairs of a volume and an extent, pairs of two volumes, or volumes.
func (s *segment) readAreas(n *node) error {
	for _, key := range []string{"stripes", "mirrors"} {
		if list := n.child(key); list != nil {
			return s.readPairs(list.values)
		}
	}
	if list := n.child("raids"); list != nil {
		if len(list.values)%2 != 0 {
			return errors.New("raids: want pairs of volumes")
		}
		for i := 0; i < len(list.values); i += 2 {
			s.meta = append(s.meta, list.values[i].text)
			s.areas = append(s.areas, area{name: list.values[i+1].text, part: true})
		}
	}
	if list := n.child("raid0_lvs"); list != nil {
		for _, v := range list.values {
			s.areas = append(s.areas, area{name: v.text, part: true})
		}
	}
	return nil
}

func (s *segment) readPairs(values []value) error {
	if len(values)%2 != 0 {
		return errors.New("want pairs of a volume and an extent")
	}
	for i := 0; i < len(values); i += 2 {
		name, at := values[i], values[i+1]
		if !name.isText || at.isText || at.number < 0 || at.number > maxExtents {
			return errors.New("want pairs of a volume and an extent")
		}
		s.areas = append(s.areas, area{name: name.text, extent: uint64(at.number)})
	}
	return nil
}
