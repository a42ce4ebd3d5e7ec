package volumes

import (
	"fmt"
	"slices"

	"github.com/zerodisc/zerodisc/internal/devmapper"
	"github.com/zerodisc/zerodisc/internal/lvm"
	"github.com/zerodisc/zerodisc/internal/md"
)

// node is a device to make: a table or an array.
type node struct {
	name, uuid string
	title      string
	hidden     bool // only others are made of it
	degraded   bool // something is missing that may only be late
	segments   []devmapper.Segment
	array      *md.Geometry
	slots      []md.Slot // of an array
}

// sources are what a node is made of, with the part that it needs: names of nodes, devices of members, or IDs of
// physical volumes. An empty one is missing.
func (n *node) sources() []md.Slot {
	if n.array != nil {
		return n.slots
	}
	var sources []md.Slot
	for _, s := range n.segments {
		for _, a := range s.Areas {
			sources = append(sources, md.Slot{Device: a.Device})
		}
	}
	return sources
}

// plan works out what to make of the members, in an order in which it can be made, and what is wrong. Members on
// arrays count as long as those are to stay.
func (a *Assembler) plan() (nodes []*node, problems []string) {
	var usable []*member
	for stay := map[string]bool{}; ; {
		nodes = nil
		usable = a.usable(stay)
		var arrays []md.Array
		arrays, problems = md.Plan(collect(usable, func(m *member) *md.Member { return m.raid }))
		before := len(stay)
		for i := range arrays {
			nodes = append(nodes, arrayNode(&arrays[i]))
			stay[arrays[i].Name] = true
		}
		if len(stay) == before {
			break // with arrays that stay come at most members, and with those arrays
		}
	}
	volumes, wrong := lvm.Plan(collect(usable, func(m *member) *lvm.PV { return m.pv }))
	for i := range volumes {
		nodes = append(nodes, volumeNode(&volumes[i]))
	}
	return nodes, append(problems, wrong...)
}

// usable lists the members but those on arrays that are not to stay.
func (a *Assembler) usable(stay map[string]bool) []*member {
	return slices.DeleteFunc(slices.Clone(a.members), func(m *member) bool {
		if !m.owned {
			return false
		}
		owner := a.owner(m.device)
		return owner == nil || !stay[owner.name]
	})
}

// collect takes one field out of members, where they have it.
func collect[T any](members []*member, field func(*member) *T) []*T {
	var found []*T
	for _, m := range members {
		if f := field(m); f != nil {
			found = append(found, f)
		}
	}
	return found
}

// arrayNode is the device of an array. Linear ones are tables: the kernel has no driver for them any more.
func arrayNode(a *md.Array) *node {
	n := &node{name: a.Name, title: a.Name, degraded: a.Degraded}
	if a.Level == md.Linear {
		n.segments, n.uuid = a.Segments(), fmt.Sprintf("MD-%x", a.UUID[:])
		return n
	}
	n.array, n.slots = &a.Geometry, a.Slots
	return n
}

// volumeNode is the device of a logical volume, or of a part of one.
func volumeNode(v *lvm.Volume) *node {
	n := &node{
		name: v.Name, uuid: v.UUID, title: v.Title, hidden: v.Hidden, degraded: v.Degraded, segments: v.Segments,
	}
	if v.Array != nil {
		n.array = &v.Array.Geometry
		for _, name := range v.Array.Members {
			n.slots = append(n.slots, md.Slot{Device: name})
		}
	}
	return n
}
