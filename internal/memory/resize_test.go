package memory

import (
	"errors"
	"slices"
	"testing"
)

// What a guest grows by is its own before it has it; what it has given back is free for others.
func TestResize(t *testing.T) {
	m := &machine{xen: 300 * mib, dom0: KeepKiB}
	l := m.ledger()
	g := admitOne(t, l, "a", 100*mib)
	m.xen -= 100 * mib
	g.Settle()
	var full *NoRoom
	err := g.Resize(t.Context(), 400*mib)
	if !errors.As(err, &full) || full.NeedKiB != 300*mib || full.FreeKiB != 200*mib {
		t.Fatal(err)
	}
	if err := g.Resize(t.Context(), 250*mib); err != nil {
		t.Fatal(err)
	}
	if answers, err := l.Admit(t.Context(), []Want{{"b", 60 * mib}}); err != nil || answers[0].Err == nil {
		t.Error("what the guest grows by was promised twice")
	}
	m.xen -= 150 * mib
	g.Settle()
	b := admitOne(t, l, "b", 50*mib)
	b.Release()
	m.xen += 170 * mib
	if err := g.Resize(t.Context(), 80*mib); err != nil {
		t.Fatal(err)
	}
	admitOne(t, l, "c", 220*mib)
	g.Rename("web")
	if owners := l.owners(); !slices.Equal(owners, []string{"c", "web"}) {
		t.Errorf("%q", owners)
	}
}
