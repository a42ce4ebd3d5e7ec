package board

import (
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
	chosen   choice
	first    int // of the guests on the screen
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
	if g := v.Chosen(); g != nil {
		v.chosen = choose(g) // it may have another name, or its UUID, now
	} else if v.chosen == (choice{}) {
		v.Move(0)
	}
}

// choice is what the chosen guest is known by: its UUID, over new names, and its name until it has one.
type choice struct{ uuid, name string }

func choose(g *host.Guest) choice { return choice{g.UUID, g.Name} }

func (c choice) is(g *host.Guest) bool {
	if c.uuid != "" && g.UUID != "" {
		return c.uuid == g.UUID
	}
	return c.name == g.Name
}

// place is where the chosen guest is in the list, -1 where it has gone.
func (v *View) place() int {
	return slices.IndexFunc(v.snapshot.Guests, func(g host.Guest) bool { return v.chosen.is(&g) })
}

// Chosen is the guest that keys are about, nil where there is none.
func (v *View) Chosen() *host.Guest {
	if place := v.place(); place >= 0 {
		return &v.snapshot.Guests[place]
	}
	return nil
}

// Move chooses another guest, so many lines further down.
func (v *View) Move(by int) {
	if count := len(v.snapshot.Guests); count > 0 {
		v.chosen = choose(&v.snapshot.Guests[min(max(0, v.place()+by), count-1)])
	}
}
