package sshd

import (
	"math/rand/v2"
	"net/netip"
	"sync"
)

// gate counts connections, so that nobody can use up the server's memory, and nobody can keep others out by waiting.
type gate struct {
	limits

	mu       sync.Mutex // guards what follows
	waiting  map[*waiter]bool
	loggedIn int
}

// waiter is a connection that has not logged in.
type waiter struct {
	host   netip.Prefix
	from   netip.Addr
	friend bool   // somebody has logged in from there before
	drop   func() // ends the connection
}

func newGate(l limits) *gate { return &gate{limits: l, waiting: map[*waiter]bool{}} }

// enter takes a connection in that has not logged in. Where there are too many, one has to go: of strangers before
// friends, of the addresses that have the most, one at random, as with OpenSSH's MaxStartups. It is returned as out; it
// may be the one that came.
func (g *gate) enter(w *waiter) (out *waiter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting[w] = true
	of := map[netip.Prefix]int{}
	for other := range g.waiting {
		of[other.host]++
	}
	switch {
	case of[w.host] > g.sameHost:
		out = w
	case len(g.waiting) > g.limits.waiting:
		out = g.victim(of)
	default:
		return nil
	}
	delete(g.waiting, out)
	return out
}

// victim is the one that has to go, of so many of each host.
func (g *gate) victim(of map[netip.Prefix]int) *waiter {
	var victims []*waiter
	worst := waiter{friend: true}
	for w := range g.waiting {
		switch {
		case w.friend != worst.friend:
			if worst.friend {
				worst, victims = *w, []*waiter{w}
			}
		case of[w.host] > of[worst.host]:
			worst, victims = *w, []*waiter{w}
		case of[w.host] == of[worst.host]:
			victims = append(victims, w)
		}
	}
	return victims[rand.N(len(victims))]
}

// leave is the end of the wait for a login. It says whether the connection had its place until then.
func (g *gate) leave(w *waiter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	had := g.waiting[w]
	delete(g.waiting, w)
	return had
}

// login counts a connection that has logged in, or says that there are too many.
func (g *gate) login() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.loggedIn >= g.limits.loggedIn {
		return false
	}
	g.loggedIn++
	return true
}

// logout is the end of such a connection.
func (g *gate) logout() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.loggedIn--
}
