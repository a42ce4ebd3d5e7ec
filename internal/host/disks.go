package host

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/printable"
)

func (f GuestDisks) apply(m *model) {
	g := m.guests[f.UUID]
	if g == nil {
		return
	}
	before, known := g.Changes, g.Disks
	g.Disks, g.Changes = slices.Clone(f.Disks), f.Changes
	g.Served = slices.DeleteFunc(slices.Clone(g.Served), func(d Disk) bool { return d.Detached && !isIn(g.Disks, d) })
	for i := range g.Disks {
		d := &g.Disks[i]
		d.Target, d.Problem = printable.Line(d.Target), printable.Line(d.Problem)
		if isIn(known, *d) || d.Device == "" {
			continue
		}
		event := GuestDisk{Name: g.Name, Disk: *d}
		if d.CopyOnWrite {
			event.BudgetKiB = f.Changes.BudgetKiB
		}
		m.tell(event)
	}
	if f.Changes.Full && !before.Full {
		m.tell(GuestDisksFull{Name: g.Name, Changes: f.Changes})
	}
}

func (f Served) apply(m *model) {
	g := m.guest(f.Domid)
	if g == nil {
		return
	}
	served := slices.Clone(f.Disks)
	for i := range served {
		d := &served[i]
		d.Vdev, d.Target, d.Node = printable.Line(d.Vdev), printable.Line(d.Target), printable.Line(d.Node)
	}
	for _, before := range g.Served {
		if isIn(g.Disks, before) && !isIn(served, before) {
			before.Detached = true
			served = append(served, before)
		}
	}
	g.Served = served
}

// AllDisks are the guest's disks as its domain has them, by their numbers: those that the host makes for it, and those
// that xl was given by hand.
func (g *Guest) AllDisks() []Disk {
	var all []Disk
	for _, d := range g.Disks {
		at := indexOf(g.Served, d)
		switch {
		case at < 0: // it has no domain yet, or nobody has looked
			all = append(all, d)
		case g.Served[at].Detached:
			d.Detached = g.Phase == Running && g.Shutdown == ""
			all = append(all, d)
		case d.is(g.Served[at]):
			all = append(all, d)
		}
	}
	for _, d := range g.Served {
		if !d.Detached && !isIn(all, d) {
			d.ByXL = true
			all = append(all, d)
		}
	}
	slices.SortStableFunc(all, func(a, b Disk) int { return cmp.Compare(a.number(), b.number()) })
	return all
}

// is says whether a disk that is served is the one that the host has made: xl can put another one into its place.
func (d Disk) is(served Disk) bool {
	return served.Target == cmp.Or(d.Device, d.Target)
}

// number is the disk's number in xenstore, which two names may have; -1 where it has none.
func (d Disk) number() int {
	if number, known := guests.VdevNumber(d.Vdev); known {
		return number
	}
	return -1
}

func indexOf(disks []Disk, disk Disk) int {
	return slices.IndexFunc(disks, func(d Disk) bool { return d.number() == disk.number() })
}

func isIn(disks []Disk, disk Disk) bool { return indexOf(disks, disk) >= 0 }

// Disk returns the guest's disk of that name. The error names those that it has.
func (g *Guest) Disk(vdev string) (Disk, error) {
	var known []string
	for _, d := range g.AllDisks() {
		if d.Vdev == vdev {
			return d, nil
		}
		known = append(known, d.Vdev)
	}
	if known == nil {
		return Disk{}, fmt.Errorf("guest %s has no disks", g.Name)
	}
	return Disk{}, fmt.Errorf("guest %s has no disk %q; it has %s", g.Name, vdev, strings.Join(known, ", "))
}
