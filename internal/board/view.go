package board

import (
	"cmp"
	"slices"
	"time"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/meter"
)

// View is what the board shows and what was chosen on it. It makes lines of a snapshot and has no effect on anything.
type View struct {
	Leave    bool      // q leaves the board
	LogIn    []string  // how to log in
	Help     bool      // the keys are shown in place of the guests
	Message  string    // what became of the last key
	Question *Question // waits for an answer

	page     *page // is shown in place of all else, if there is one
	now      time.Time
	up       time.Duration // since the kernel's start
	name     string        // of the machine
	snapshot *host.Snapshot
	usage    Usage
	chosen   string // identity of the chosen guest, "" for the first
	first    int    // of the guests on the screen
}

// Question is asked before something that cannot be taken back.
type Question struct {
	Text string
	Yes  func()
}

// Usage is what domains use, by number.
type Usage struct {
	CPU     meter.CPU
	Traffic map[int]float64 // bytes a second, both ways
}

// See gives the view a newer state, what domains use, and how the machine is called.
func (v *View) See(snapshot *host.Snapshot, usage Usage, name string, now time.Time, up time.Duration) {
	v.snapshot, v.usage, v.name, v.now, v.up = snapshot, usage, name, now, up
}

// identity tells guests from one another: by UUID, over new names, and by name where there is none.
func identity(g *host.Guest) string { return cmp.Or(g.UUID, g.Name) }

// place is where the chosen guest is in the list, 0 where it has gone.
func (v *View) place() int {
	is := func(g host.Guest) bool { return identity(&g) == v.chosen }
	return max(0, slices.IndexFunc(v.snapshot.Guests, is))
}

// Chosen is the guest that keys are about, nil where there is none.
func (v *View) Chosen() *host.Guest {
	if v.snapshot == nil || len(v.snapshot.Guests) == 0 {
		return nil
	}
	return &v.snapshot.Guests[v.place()]
}

// Move chooses another guest, so many lines further down.
func (v *View) Move(by int) {
	if v.Chosen() == nil {
		return
	}
	to := min(max(0, v.place()+by), len(v.snapshot.Guests)-1)
	v.chosen = identity(&v.snapshot.Guests[to])
}
