// Package report makes the text that a person finds above the shell: what this machine is, which
// guests run and how to reach them.
package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Guest is one line of the report.
type Guest struct {
	Name    string
	Domid   int
	State   string // "running", "refused", "stopped"
	Address string // IPv4 address, "" while unknown; shown of a guest that runs
	Problem string // why it does not run
}

// Report gathers facts as the boot finds them. Its methods may be called from any goroutine.
// Changed is called after every change, one call after the other and in the order of the changes,
// so that the last text is the newest. It may read the report but must not change it.
type Report struct {
	Changed func(text string)

	telling  sync.Mutex // held over a change and its call of Changed; taken before mu
	mu       sync.Mutex // guards what follows
	version  string
	host     []string
	problems []string
	guests   map[string]Guest
	network  string
	stores   map[string]string // state by URL
}

// New returns a Report of the given version of zerodisc.
func New(version string) *Report {
	return &Report{version: version, guests: map[string]Guest{}, stores: map[string]string{}, network: "network: waiting for an address"}
}

// Host sets the lines about the machine: processor, memory, hypervisor.
func (r *Report) Host(lines ...string) { r.change(func() { r.host = lines }) }

// Network sets the line about dom0's own address.
func (r *Report) Network(line string) { r.change(func() { r.network = "network: " + line }) }

// Store sets how far a guest store on a web server is.
func (r *Report) Store(url, state string) { r.change(func() { r.stores[url] = state }) }

// Problem adds what went wrong and what to do about it.
func (r *Report) Problem(line string) {
	r.change(func() {
		if !slices.Contains(r.problems, line) {
			r.problems = append(r.problems, line)
		}
	})
}

// SetGuest records a guest's state; an empty address keeps the one known for the same domain.
func (r *Report) SetGuest(g Guest) {
	r.change(func() {
		if old := r.guests[g.Name]; g.Address == "" && old.Domid == g.Domid {
			g.Address = old.Address
		}
		r.guests[g.Name] = g
	})
}

// SetAddress records the address a running guest got.
func (r *Report) SetAddress(guest, address string) {
	r.change(func() {
		g := r.guests[guest]
		g.Name, g.Address = guest, address
		r.guests[guest] = g
	})
}

func (r *Report) change(apply func()) {
	r.telling.Lock()
	defer r.telling.Unlock()
	r.mu.Lock()
	apply()
	text := r.text()
	r.mu.Unlock()
	if r.Changed != nil {
		r.Changed(text)
	}
}

// String is the report as it stands.
func (r *Report) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text()
}

func (r *Report) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nzerodisc %s\n", r.version)
	for _, line := range append(r.host, r.network) {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	for _, url := range slices.Sorted(maps.Keys(r.stores)) {
		fmt.Fprintf(&b, "  guests of %s: %s\n", url, r.stores[url])
	}
	if len(r.guests) == 0 {
		b.WriteString("  no guests\n")
	}
	for _, name := range slices.Sorted(maps.Keys(r.guests)) {
		b.WriteString(r.guests[name].line())
	}
	for _, problem := range r.problems {
		fmt.Fprintf(&b, "  ! %s\n", problem)
	}
	if len(r.guests) > 0 {
		b.WriteString("  xl list | xl console NAME (leave with Ctrl-]) | xl shutdown NAME | status | poweroff\n")
	} else {
		b.WriteString("  xl list | xl create FILE.cfg | status | poweroff\n")
	}
	return b.String() + "\n"
}

func (g Guest) line() string {
	switch {
	case g.Problem != "":
		return fmt.Sprintf("  guest %-12s %s: %s\n", g.Name, g.State, g.Problem)
	case g.State != "running":
		return fmt.Sprintf("  guest %-12s %s\n", g.Name, g.State)
	case g.Address == "":
		return fmt.Sprintf("  guest %-12s %s  (no address yet)\n", g.Name, g.State)
	}
	return fmt.Sprintf("  guest %-12s %s  %s\n", g.Name, g.State, g.Address)
}
