package sshd

import (
	"net/netip"
	"sync"
)

// gate counts connections, so that nobody can use up the server's memory.
type gate struct {
	limits

	mu       sync.Mutex // guards what follows
	waiting  map[netip.Prefix]int
	all      int // sum of waiting
	loggedIn int
}

func newGate(l limits) *gate { return &gate{limits: l, waiting: map[netip.Prefix]int{}} }

// enter counts a connection that has not logged in, or says that there are too many.
func (g *gate) enter(from netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	id := hostOf(from)
	if g.all >= g.limits.waiting || g.waiting[id] >= g.sameHost {
		return false
	}
	g.waiting[id]++
	g.all++
	return true
}

// leave is the end of the wait for a login.
func (g *gate) leave(from netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	id := hostOf(from)
	g.all--
	if g.waiting[id]--; g.waiting[id] == 0 {
		delete(g.waiting, id)
	}
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
