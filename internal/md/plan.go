package md

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/internal/devmapper"
	"github.com/zerodisc/zerodisc/internal/printable"
)

// Array is an array that can be read, and how.
type Array struct {
	UUID UUID
	Name string // of its device, "md_home": no other array of the plan has it
	Geometry
	Slots    []Slot // one for each place in the array
	Degraded bool   // members are missing or left out, and may only be late
}

// Slot is the part of a member that has an array's data.
type Slot struct {
	Device        string // the member's; "" where there is none
	Start, Length uint64 // sectors of 512 bytes
}

// Plan works out the arrays that members make up, in the order in which they are first seen, and says what is wrong
// with others.
func Plan(members []*Member) (arrays []Array, problems []string) {
	var order []UUID
	groups := map[UUID][]*Member{}
	for _, m := range members {
		if groups[m.Array] == nil {
			order = append(order, m.Array)
		}
		groups[m.Array] = append(groups[m.Array], m)
	}
	names := map[string]bool{}
	for _, id := range order {
		array, notes, err := plan(groups[id])
		title := "RAID array " + groups[id][0].title() + ": "
		for _, note := range notes {
			problems = append(problems, title+note)
		}
		if err != nil {
			problems = append(problems, title+err.Error())
			continue
		}
		if array.Name = deviceName(groups[id][0], names); names[array.Name] {
			problems = append(problems, title+"another one has its name and the beginning of its UUID")
			continue
		}
		names[array.Name] = true
		arrays = append(arrays, array)
	}
	return arrays, problems
}

// maxName is what the kernel has room for in a disk's name (DISK_NAME_LEN), less that of a partition's number.
const maxName = 32 - 1 - 4

var safeName = regexp.MustCompile(`^md_[A-Za-z0-9_.+]+$`)

// deviceName makes a name of the one that an array's owner gave it, or of its UUID where that will not do. mdadm puts
// the name of the host before it. There is no hyphen in it, which the names of logical volumes have.
func deviceName(m *Member, taken map[string]bool) string {
	_, name, found := strings.Cut(m.name, ":")
	if !found {
		name = m.name
	}
	name = "md_" + strings.ReplaceAll(name, "-", "_")
	if !safeName.MatchString(name) || len(name) > maxName || taken[name] {
		name = fmt.Sprintf("md_%x", m.Array[:8])
	}
	return name
}

// plan works out one array. The notes are about members that it does without.
func plan(members []*Member) (Array, []string, error) {
	newest := slices.MaxFunc(members, func(a, b *Member) int { return cmp.Compare(a.events, b.events) })
	if newest.refused != "" {
		return Array{}, nil, errors.New(newest.refused)
	}
	if err := newest.Geometry.Check(); err != nil {
		return Array{}, nil, err
	}
	a := Array{UUID: newest.Array, Geometry: newest.Geometry, Slots: make([]Slot, newest.Disks)}
	notes, err := a.fill(members, newest)
	if err != nil {
		return Array{}, notes, err
	}
	missing := a.missing()
	a.Degraded = len(missing) > 0
	if a.Degraded {
		notes = append(notes, fmt.Sprintf("%s of %d missing", ordinals(missing), a.Disks))
	}
	return a, notes, a.settle(newest.clean)
}

// fill puts the members into their places, as the newest superblock has them.
func (a *Array) fill(members []*Member, newest *Member) (notes []string, err error) {
	if members, err = distinct(members); err != nil {
		return nil, err
	}
	for _, m := range members {
		why, place := m.place(newest)
		switch {
		case why != "":
			notes = append(notes, fmt.Sprintf("%s %s and is left out", printable.Line(m.Device), why))
		case place == unused: // a spare
		case a.Slots[place].Device != "":
			return nil, fmt.Errorf("%s and %s have the same place in it",
				a.Slots[place].Device, printable.Line(m.Device))
		default:
			a.Slots[place] = m.slot()
		}
	}
	return notes, nil
}

// distinct leaves out disks that seem to be members because their last partitions are: a superblock of version 0.90 is
// at the end, and does not say of what. Others that are the same member are copies, and nobody knows which is right.
func distinct(members []*Member) ([]*Member, error) {
	var kept []*Member
	for _, m := range members {
		at := slices.IndexFunc(kept, func(other *Member) bool { return other.number == m.number })
		switch {
		case at < 0:
			kept = append(kept, m)
		case m.start > 0 || m.length == kept[at].length:
			return nil, fmt.Errorf("%s and %s are the same member; is one a copy of the other? Disconnect one",
				printable.Line(kept[at].Device), printable.Line(m.Device))
		case m.length < kept[at].length:
			kept[at] = m
		}
	}
	return kept, nil
}

// place is where the newest superblock has a member, or why it cannot be used.
func (m *Member) place(newest *Member) (why string, place role) {
	if m.events+1 < newest.events { // as the driver does: one may be lost with the power
		return "is out of date", unused
	}
	if m.Geometry != newest.Geometry || m.size != newest.size {
		return "describes another array", unused
	}
	if m.number >= len(newest.roles) {
		return "is not in it any more", unused
	}
	place = newest.roles[m.number]
	switch {
	case place != unused && int(place) >= newest.Disks:
		return fmt.Sprintf("has place %d of %d", place, newest.Disks), unused
	case place == unused && m.roles[m.number] != unused:
		return "has failed", unused
	case place != unused && m.left != "":
		return m.left, unused
	}
	return "", place
}

// slot is the part of a member that has data: as much as the array uses, or all of it.
func (m *Member) slot() Slot {
	s := Slot{Device: m.Device, Start: m.start, Length: m.size}
	if m.Level == RAID0 || m.Level == Linear {
		s.Length = m.length
		if chunk := m.Chunk / sector; chunk > 0 {
			s.Length -= s.Length % chunk
		}
	}
	return s
}

// present says for each place whether there is a member.
func (a *Array) present() []bool {
	present := make([]bool, len(a.Slots))
	for i, s := range a.Slots {
		present[i] = s.Device != ""
	}
	return present
}

func (a *Array) missing() (places []int) {
	for i, p := range a.present() {
		if !p {
			places = append(places, i)
		}
	}
	return places
}

// ordinals names places as people count them: "member 2", "members 1, 3".
func ordinals(places []int) string {
	const most = 8
	var b strings.Builder
	for i, place := range places[:min(len(places), most)] {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d", place+1)
	}
	if len(places) > most {
		fmt.Fprintf(&b, " and %d more", len(places)-most)
	}
	if len(places) == 1 {
		return "member " + b.String()
	}
	return "members " + b.String()
}

// settle says whether what is there can be read, and leaves out copies that may differ.
func (a *Array) settle(clean bool) error {
	present := a.present()
	if !a.Enough(present) {
		return errors.New("too few of its members are here to read it")
	}
	if a.Level == RAID0 && a.Layout == 0 && !a.equal() {
		return errors.New("its members differ in size, and it does not say how it goes on beyond the smallest one; " +
			"mdadm --update=layout-original or layout-alternate on the PC records that")
	}
	for _, s := range a.Slots {
		if s.Device != "" && (s.Length == 0 || a.Chunk > 0 && s.Length < a.Chunk/sector) {
			return fmt.Errorf("%s has no data", printable.Line(s.Device))
		}
	}
	if clean {
		return nil
	}
	if a.Parity() && a.Degraded {
		return errors.New("it was being written to when it stopped, and lacks a member: " +
			"what that had cannot be worked out reliably")
	}
	a.Single(present)
	for i := range a.Slots {
		if !present[i] {
			a.Slots[i] = Slot{}
		}
	}
	return nil
}

// equal says whether all members have the same size.
func (a *Array) equal() bool {
	return !slices.ContainsFunc(a.Slots, func(s Slot) bool { return s.Length != a.Slots[0].Length })
}

// Segments is the table of a linear array: its members one after the other, each from its first sector. The
// kernel has no driver for those any more (since 6.8).
func (a *Array) Segments() []devmapper.Segment {
	var segments []devmapper.Segment
	for _, s := range a.Slots {
		segments = append(segments, devmapper.Segment{
			Sectors: s.Length, Areas: []devmapper.Area{{Device: s.Device, Start: s.Start}},
		})
	}
	return segments
}
