package host

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/printable"
)

// dropBelow forgets guests that do not run and whose directories are below one that has gone.
func (m *model) dropBelow(dir string) {
	if dir == "" {
		return
	}
	maps.DeleteFunc(m.guests, func(_ string, g *Guest) bool {
		return g.isOver() && strings.HasPrefix(g.Source.Dir, dir+"/")
	})
}

// isOver says whether nothing is left of a guest but that it is known.
func (g *Guest) isOver() bool { return !g.Phase.Live() && g.Domid == 0 && !g.Managed }

func (f Found) apply(m *model) {
	name, source := printable.Line(f.Name), f.Source.Printable()
	for _, g := range m.guests {
		if g.Name == name && (!g.isOver() || g.Source.Dir != "") {
			return // it is known already, or it would take the place of another one that can be started
		}
	}
	m.dropEnded(name)
	if m.ended() >= maxEnded {
		return // a foreign disk with thousands does not push those out that have run
	}
	m.guests[refusedKey(name)] = &Guest{
		Name: name, Origin: printable.Line(f.Origin), Source: source, Phase: Stopped, Since: time.Now(),
	}
}

// dropSource forgets a guest that has ended and was read from the same directory, under whatever name: a directory has
// one line.
func (m *model) dropSource(s guests.Source) {
	maps.DeleteFunc(m.guests, func(_ string, g *Guest) bool {
		return s.Dir != "" && g.Source.Dir == s.Printable().Dir && g.isOver()
	})
}

func (f Ordered) apply(m *model) {
	g := m.guests[f.UUID]
	if f.UUID == "" {
		g = m.guest(f.Domid)
	}
	if g != nil {
		g.Order = f.Order
	}
}

func (f Wanted) apply(m *model) {
	if g := m.guests[f.UUID]; g != nil && g.Managed {
		g.Wanted = f.Want
	}
}

func (f GuestChanged) apply(m *model) {
	if g := m.guests[f.Spec.UUID]; g != nil {
		g.Spec, g.NeedKiB, g.MACs = f.Spec, f.Spec.NeedKiB(), slices.Clone(f.Spec.MACs)
	}
}
