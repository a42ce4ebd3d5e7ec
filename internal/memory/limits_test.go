package memory

import "testing"

// Guests together have a limit, Xen is to have something left, and dom0 makes up for that.
func TestLimits(t *testing.T) {
	m := &machine{xen: 300 * mib, dom0: KeepKiB + 100*mib, most: 250 * mib}
	l := m.ledger()
	a := admitOne(t, l, "a", 200*mib)
	m.xen -= 200 * mib
	a.Settle()
	refused := func(need, free int64) {
		t.Helper()
		answers, err := l.Admit(t.Context(), []Want{{"b", need}})
		if err != nil {
			t.Fatal(err)
		}
		full, ok := answers[0].Err.(*NoRoom)
		if !ok || full.FreeKiB != free || !full.Limited {
			t.Errorf("%+v, %v, want %d MiB free", answers[0], answers[0].Err, free/mib)
		}
	}
	refused(60*mib, 50*mib)
	if err := a.Resize(t.Context(), 251*mib); err == nil {
		t.Error("a guest grew beyond the limit")
	}
	admitOne(t, l, "b", 50*mib).Release()

	m.most, m.left = 0, 150*mib // and 100 are free, 100 dom0's to spare
	refused(60*mib, 48*mib)
	if m.dom0 != KeepKiB+100*mib {
		t.Error("dom0 gave up memory for nobody")
	}
	admitOne(t, l, "b", 48*mib)
	if m.xen != 198*mib {
		t.Errorf("Xen has %d MiB", m.xen/mib)
	}
}
