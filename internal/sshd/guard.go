package sshd

import (
	"net/netip"
	"sync"
	"time"
)

// What guard remembers and allows.
const (
	free       = 3               // wrong passwords of an address that cost it nothing
	maxPenalty = 5 * time.Minute // between two passwords of one address
	forgetting = time.Hour       // after the last wrong password of an address
	maxHosts   = 1024            // addresses that are remembered
	allBurst   = 30              // passwords of all addresses at once, and then
	allPause   = time.Second     // one in this time
)

// guard slows down who guesses passwords. Each address that has typed three wrong ones waits, longer each time; all of
// them together may try one a second. Whoever has a key is not concerned.
type guard struct {
	limits

	mu      sync.Mutex // guards what follows
	hosts   map[netip.Prefix]*guesser
	friends map[netip.Prefix]bool // have logged in before: the others' guesses do not slow them down
	all     bucket
}

// guesser is an address that has typed wrong passwords.
type guesser struct {
	wrong int
	next  time.Time // its next password is looked at then
}

func newGuard(l limits) *guard {
	return &guard{
		limits: l, hosts: map[netip.Prefix]*guesser{}, friends: map[netip.Prefix]bool{},
		all: bucket{room: allBurst, pause: allPause},
	}
}

// host is what counts as one address: an IPv6 host has a whole /64 of them.
func hostOf(from netip.Addr) netip.Prefix {
	bits := 64
	if from.Is4() {
		bits = 32
	}
	prefix, err := from.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // all that have no address are one
	}
	return prefix
}

// admit says how long a password has to wait before it is looked at; ok is false if it is refused at once. It counts
// as wrong until welcome says otherwise, so that a hundred at the same time are no way around.
func (g *guard) admit(from netip.Addr, now time.Time) (wait time.Duration, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	id := hostOf(from)
	host := g.hosts[id]
	if host == nil || now.Sub(host.next) > forgetting {
		host = &guesser{next: now}
	}
	wait = max(0, host.next.Sub(now))
	if wait > g.patience {
		return wait, false
	}
	if !g.friends[id] && !g.all.take(now) {
		return allPause, false
	}
	host.wrong++
	host.next = now.Add(wait + g.pause(host.wrong))
	g.makeRoom(id, now)
	g.hosts[id] = host
	return wait, true
}

// pause is how long an address waits after so many wrong passwords.
func (g *guard) pause(wrong int) time.Duration {
	if wrong <= free {
		return 0
	}
	return min(g.penalty<<min(wrong-free-1, 20), maxPenalty)
}

// makeRoom forgets an address where another one would be too many: one whose penalty is over, or else the next best.
func (g *guard) makeRoom(id netip.Prefix, now time.Time) {
	if _, known := g.hosts[id]; known || len(g.hosts) < maxHosts {
		return
	}
	var victim netip.Prefix
	for other, host := range g.hosts {
		victim = other
		if now.After(host.next) {
			break
		}
	}
	delete(g.hosts, victim)
}

// welcome forgets the wrong passwords of an address from which somebody has logged in.
func (g *guard) welcome(from netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	id := hostOf(from)
	delete(g.hosts, id)
	if len(g.friends) < maxHosts {
		g.friends[id] = true
	}
}

// knows says whether somebody has logged in from an address before.
func (g *guard) knows(from netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.friends[hostOf(from)]
}

// wrong is how many wrong passwords an address has typed.
func (g *guard) wrong(from netip.Addr) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if host := g.hosts[hostOf(from)]; host != nil {
		return host.wrong
	}
	return 0
}

// bucket allows so many at once, and then one each pause. The zero time is long ago.
type bucket struct {
	room  int
	pause time.Duration
	full  time.Time // when everything that was taken is back
}

// take takes one, or says that there is none.
func (b *bucket) take(now time.Time) bool {
	if b.full.Before(now) {
		b.full = now
	}
	if b.full.Sub(now) > time.Duration(b.room-1)*b.pause {
		return false
	}
	b.full = b.full.Add(b.pause)
	return true
}
