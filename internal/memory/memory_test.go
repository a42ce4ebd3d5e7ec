package memory

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// machine is the memory of a host, KiB.
type machine struct {
	xen, dom0 int64
	asked     int // how often Xen was asked
	stuck     bool
	most      int64 // that all guests may have
	left      int64
}

func (m *machine) ledger() *Ledger {
	return New(Source{
		XenFree: func(context.Context) (int64, error) {
			m.asked++
			return m.xen, nil
		},
		Available: func() (int64, error) { return m.dom0, nil },
		Limits:    func() (int64, int64) { return m.most, m.left },
		GiveUp: func(_ context.Context, kib int64) (int64, error) {
			if m.stuck {
				kib /= 2
			}
			m.dom0, m.xen = m.dom0-kib, m.xen+kib
			if m.stuck {
				return kib, context.DeadlineExceeded
			}
			return kib, nil
		},
		Take: func(_ context.Context, kib int64) (int64, error) {
			m.dom0, m.xen = m.dom0+kib-kib/memoryMap, m.xen-kib
			return kib, nil
		},
	}, nil)
}

const mib = 1 << 10

// owners lists who has an account.
func (l *Ledger) owners() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []string
	for a := range l.accounts {
		names = append(names, a.owner)
	}
	slices.Sort(names)
	return names
}

func admitOne(t *testing.T, l *Ledger, owner string, kib int64) *Guest {
	t.Helper()
	answers, err := l.Admit(t.Context(), []Want{{owner, kib}})
	if err != nil || answers[0].Err != nil {
		t.Fatal(err, answers)
	}
	return answers[0].Guest
}

func TestAdmitInOrder(t *testing.T) {
	m := &machine{xen: 300 * mib, dom0: KeepKiB + 24*mib}
	l := m.ledger()
	answers, err := l.Admit(t.Context(), []Want{{"a", 200 * mib}, {"b", 150 * mib}, {"c", 100 * mib}})
	if err != nil || answers[0].Err != nil || answers[2].Err != nil {
		t.Fatal(err, answers)
	}
	var full *NoRoom
	// dom0 could spare 24 MiB beyond what it keeps, 4 of them for what the guests cost it.
	if !errors.As(answers[1].Err, &full) || full.FreeKiB != 120*mib || full.NeedKiB != 150*mib {
		t.Errorf("b: %v", answers[1].Err)
	}
	if m.asked != 1 || m.dom0 != KeepKiB+24*mib {
		t.Errorf("Xen was asked %d times for three guests, dom0 has %d KiB", m.asked, m.dom0)
	}
	if got := l.owners(); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("owners %q", got)
	}
}

// What is reserved and not taken still looks free to Xen.
func TestReservedIsNotFree(t *testing.T) {
	m := &machine{xen: 300 * mib, dom0: KeepKiB + 4*mib}
	l := m.ledger()
	a := admitOne(t, l, "a", 200*mib)
	if answers, _ := l.Admit(t.Context(), []Want{{"b", 150 * mib}}); answers[0].Err == nil {
		t.Error("memory was given out twice before a's domain was made")
	}
	m.xen = 100 * mib
	a.Settle()
	if answers, _ := l.Admit(t.Context(), []Want{{"b", 100 * mib}}); answers[0].Err != nil {
		t.Error("memory that a has was counted twice:", answers[0].Err)
	}
}

// Between two domains of one guest its memory is free to Xen and nobody else's.
func TestRestartKeepsTheMemory(t *testing.T) {
	m := &machine{xen: 300 * mib, dom0: KeepKiB + 4*mib}
	l := m.ledger()
	a := admitOne(t, l, "a", 200*mib)
	m.xen -= 200 * mib
	a.Settle()
	m.xen += 200 * mib
	a.Vacate()
	if answers, _ := l.Admit(t.Context(), []Want{{"b", 150 * mib}}); answers[0].Err == nil {
		t.Error("the memory of a guest that is restarting was given away")
	}
	a.Release()
	a.Release()
	if answers, _ := l.Admit(t.Context(), []Want{{"b", 150 * mib}}); answers[0].Err != nil {
		t.Error(answers[0].Err)
	}
}

func TestDom0GivesUpWhatItCanSpare(t *testing.T) {
	m := &machine{xen: 100 * mib, dom0: KeepKiB + 104*mib}
	l := m.ledger()
	admitOne(t, l, "a", 150*mib)
	if m.dom0 != KeepKiB+54*mib {
		t.Errorf("dom0 has %d KiB, want 50 MiB less", m.dom0)
	}
	if got := l.owners(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("owners %q", got)
	}
	m = &machine{xen: 100 * mib, dom0: KeepKiB + 104*mib, stuck: true}
	answers, err := m.ledger().Admit(t.Context(), []Want{{"a", 150 * mib}})
	if err != nil || answers[0].Err == nil || m.dom0 != KeepKiB+79*mib {
		t.Errorf("%v %v, dom0 has %d KiB", err, answers, m.dom0)
	}
}

// What guests cost dom0 while they run is not given up for them.
func TestDom0KeepsWhatGuestsCostIt(t *testing.T) {
	m := &machine{xen: 100 * mib, dom0: KeepKiB + 100*mib}
	answers, err := m.ledger().Admit(t.Context(), []Want{{"a", 100 * mib}, {"b", 90 * mib}, {"c", 10*mib - 2*RunKiB}})
	if err != nil || answers[0].Err != nil || answers[1].Err != nil || answers[2].Err == nil {
		t.Errorf("%v %v", err, answers)
	}
	if left := m.dom0 - KeepKiB; left < 2*RunKiB {
		t.Errorf("dom0 has %d KiB for two guests", left)
	}
}

// A guest whose domain is being made counts once in Xen's figure and once in the ledger. Another one is
// not refused for that: it waits.
func TestNobodyIsRefusedWhileADomainIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{xen: 300 * mib, dom0: KeepKiB + 104*mib}
		l := m.ledger()
		a := admitOne(t, l, "a", 150*mib)
		done, err := a.Create(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		m.xen = 150 * mib // xl has taken it already
		admitted := make(chan Admission)
		go func() {
			answers, _ := l.Admit(t.Context(), []Want{{"b", 150 * mib}})
			admitted <- answers[0]
		}()
		synctest.Wait()
		select {
		case b := <-admitted:
			t.Fatalf("answered while a's domain was made: %v", b.Err)
		default:
		}
		a.Settle()
		done()
		if b := <-admitted; b.Err != nil {
			t.Error(b.Err)
		}
	})
}

func TestOneCreationAtATimeWhenDom0IsShort(t *testing.T) {
	for _, test := range []struct {
		dom0 int64
		want int
	}{{1000 * mib, 3}, {50 * mib, 1}, {170 * mib, 2}} {
		synctest.Test(t, func(t *testing.T) {
			m := &machine{xen: 1000 * mib, dom0: test.dom0}
			l := m.ledger()
			running, most := 0, 0
			for _, name := range []string{"a", "b", "c", "d", "e"} {
				g := admitOne(t, l, name, 10*mib)
				go func() {
					done, err := g.Create(t.Context(), 3)
					if err != nil {
						t.Error(err)
						return
					}
					running++
					most = max(most, running)
					time.Sleep(time.Second)
					running--
					g.Settle()
					done()
				}()
			}
			synctest.Wait()
			time.Sleep(time.Minute)
			synctest.Wait()
			if most != test.want || running != 0 {
				t.Errorf("dom0 with %d MiB: %d at a time, want %d; %d left", test.dom0/mib, most, test.want, running)
			}
		})
	}
}

func TestFiles(t *testing.T) {
	m := &machine{xen: 0, dom0: KeepKiB + 104*mib}
	l := m.ledger()
	f := l.Files("web")
	if err := f.Grow(t.Context(), 100<<20); err != nil {
		t.Fatal(err)
	}
	other := l.Files("other")
	var full *NoRoom
	if err := other.Grow(t.Context(), 5<<20); !errors.As(err, &full) || full.FreeKiB != 4*mib ||
		!strings.Contains(err.Error(), "5 MiB of dom0's memory") {
		t.Errorf("%v", err)
	}
	if err := other.Ensure(t.Context(), 1); err != nil { // a step is 1 MiB
		t.Error(err)
	}
	if kib, _ := l.AvailableKiB(); kib != KeepKiB+3*mib {
		t.Errorf("%d KiB are left, want 3 MiB and what dom0 keeps", kib)
	}
	m.dom0 -= 60 * mib
	f.Wrote(60 << 20)
	if kib, _ := l.AvailableKiB(); kib != KeepKiB+3*mib {
		t.Errorf("%d KiB are left after 60 MiB were written, want 3 MiB and what dom0 keeps", kib)
	}
	m.dom0 += 60 * mib
	f.Wrote(-60 << 20)
	f.Wrote(10 << 20)
	m.dom0 -= 10 * mib
	f.Settle()
	if kib, _ := l.AvailableKiB(); kib != KeepKiB+93*mib {
		t.Errorf("%d KiB are left after the rest was given back, want 93 MiB and what dom0 keeps", kib)
	}
	f.Release()
	other.Release()
	if got := l.owners(); len(got) > 0 {
		t.Errorf("owners %q", got)
	}
}

// TestFilesTakeOfXensMemory has files that do not fit in what dom0 has.
func TestFilesTakeOfXensMemory(t *testing.T) {
	for _, test := range []struct {
		xen, guest, files int64 // MiB
		dom0              int64 // afterwards, what it has to spare
		err               string
	}{
		{xen: 1000, files: 10, dom0: 40},
		{xen: 1000, files: 42, dom0: 71}, // a step
		{xen: 1000, files: 240, dom0: 241},
		{
			xen: 1000, guest: 900, files: 130, dom0: 40,
			err: "it takes 130 MiB of dom0's memory, where 120 MiB are free for it",
		},
		{xen: 10, files: 50, dom0: 40, err: "it takes 50 MiB of dom0's memory, where 40 MiB are free for it"},
	} {
		m := &machine{xen: test.xen * mib, dom0: KeepKiB + 40*mib}
		l := m.ledger()
		if test.guest > 0 {
			admitOne(t, l, "guest", test.guest*mib)
		}
		err := l.Files("files").Grow(t.Context(), test.files<<20)
		if got := (m.dom0 - KeepKiB) / mib; got != test.dom0 || (err == nil) != (test.err == "") ||
			err != nil && err.Error() != test.err {
			t.Errorf("%+v: dom0 has %d MiB to spare, %v", test, got, err)
		}
	}
}

// TestOthersUseWhatFilesTook has a host on which something else takes of each step that dom0 grows by.
func TestOthersUseWhatFilesTook(t *testing.T) {
	for used, want := range map[int64]bool{20 * mib: true, 40 * mib: false} {
		m := &machine{xen: 1000 * mib, dom0: KeepKiB + 40*mib}
		l := m.ledger()
		take := l.source.Take
		l.source.Take = func(ctx context.Context, kib int64) (int64, error) {
			defer func() { m.dom0 -= used }()
			return take(ctx, kib)
		}
		if err := l.Files("files").Grow(t.Context(), 50<<20); (err == nil) != want {
			t.Errorf("%d MiB are used each time: %v", used/mib, err)
		}
	}
}

func TestEntries(t *testing.T) {
	m := &machine{xen: 1000 * mib, dom0: 1000 * mib}
	var last []Entry
	l := m.ledger()
	l.changed = func(e []Entry) { last = e }
	f := l.Files("download")
	_ = f.Grow(t.Context(), 1<<20)
	a := l.Adopt("by hand", 96*mib)
	want := []Entry{{"by hand", 96 * mib, RunKiB, 0}, {"download", 0, 1 * mib, 1 * mib}}
	if !slices.Equal(last, want) {
		t.Errorf("%v, want %v", last, want)
	}
	a.Release()
	f.Release()
	if len(last) > 0 {
		t.Errorf("%v", last)
	}
}

func TestCreateAfterRelease(t *testing.T) {
	l := (&machine{xen: 1000 * mib, dom0: 1000 * mib}).ledger()
	a := admitOne(t, l, "a", mib)
	a.Release()
	if _, err := a.Create(t.Context(), 1); err == nil {
		t.Error("a domain is made with memory that was given back")
	}
}
