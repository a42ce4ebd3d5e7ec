package vt

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/host"
)

// hostWith is a state that is told facts.
type hostWith struct {
	*host.State
	slots slots
}

func newHost(ctx context.Context) *hostWith { return &hostWith{State: host.New(ctx, "test")} }

func (h *hostWith) tell(facts ...host.Fact) {
	for _, f := range facts {
		h.Tell(f)
	}
	h.slots = h.slots.next(h.Snapshot())
}

func came(domid int, name string) host.Fact {
	return host.Came{Domid: domid, UUID: "uuid-of-" + name, Name: name}
}

func waits(name string) host.Fact {
	return host.Planned{Spec: &guests.Resolved{Guest: &guests.Guest{Name: name}, UUID: "uuid-of-" + name}}
}

func hostGone(domid int) host.Fact { return host.Gone{Domid: domid} }

func (h *hostWith) String() string {
	return strings.TrimRight(strings.ReplaceAll(strings.Join(h.slots[:], " "), "uuid-of-", ""), " ")
}

func TestSlots(t *testing.T) {
	h := newHost(t.Context())
	for _, step := range []struct {
		facts []host.Fact
		want  string
	}{
		{nil, ""},
		{[]host.Fact{waits("b"), waits("a")}, "a b"},
		{[]host.Fact{came(1, "b"), came(2, "a")}, "a b"},
		{[]host.Fact{host.Gone{Domid: 1}}, "a b"},                                   // its last words
		{[]host.Fact{came(3, "c")}, "a b c"},                                        // there is still room
		{[]host.Fact{came(4, "b")}, "a b c"},                                        // it keeps its screen
		{[]host.Fact{host.Gone{Domid: 2}, host.Named{Domid: 3, Name: "a"}}, " b c"}, // a was forgotten
		{[]host.Fact{came(5, "d")}, "d b c"},
	} {
		if h.tell(step.facts...); h.String() != step.want {
			t.Errorf("after %v: %q, want %q", step.facts, h, step.want)
		}
	}
}

// The guest that ended first makes room when all screens are taken, and where all live the next one has none.
func TestSlotsAreFew(t *testing.T) {
	h := newHost(t.Context())
	for i := range count {
		h.tell(came(i+1, fmt.Sprint("g", i)))
	}
	full := h.String()
	if h.tell(came(20, "late")); h.String() != full {
		t.Errorf("one more: %q, want %q", h, full)
	}
	h.tell(host.Gone{Domid: 4})
	if want := strings.Replace(full, "g3", "late", 1); h.String() != want {
		t.Errorf("after the end of one: %q, want %q", h, want)
	}
	h.tell(host.Gone{Domid: 6}, host.Gone{Domid: 2}, came(21, "later"))
	if want := strings.Replace(strings.Replace(full, "g3", "late", 1), "g5", "later", 1); h.String() != want {
		t.Errorf("after the end of two: %q, want %q", h, want)
	}
}

func TestViews(t *testing.T) {
	h := newHost(t.Context())
	h.tell(came(1, "web"))
	h.tell(came(2, "db"))
	h.tell(host.Gone{Domid: 2})
	views := h.slots.views(h.Snapshot())
	if want := (view{uuid: "uuid-of-web", title: "-- Alt-F2: guest web --"}); views[0] != want {
		t.Errorf("view %+v, want %+v", views[0], want)
	}
	if want := (view{uuid: "uuid-of-db", title: "-- Alt-F3: guest db, stopped --"}); views[1] != want {
		t.Errorf("view %+v, want %+v", views[1], want)
	}
	want := `-- Alt-F11: no guest --

The next guest that starts comes here.

Alt-F1   host
Alt-F2   guest web
Alt-F3   guest db, stopped
Alt-F12  log
`
	if got := strings.ReplaceAll(heading(views[9]), "\r\n", "\n"); got != want {
		t.Errorf("heading\n%s\nwant\n%s", got, want)
	}
}
