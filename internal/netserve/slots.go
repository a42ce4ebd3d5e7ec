package netserve

import (
	"net/netip"
	"sync"
)

// slots limit what is under way at a time, of one client and in total, so that one machine cannot keep the others
// waiting.
type slots struct {
	perClient, total int

	mu      sync.Mutex
	taken   map[netip.AddrPort]bool // by the client's address and port
	clients map[netip.Addr]usage
}

// usage is what one client has.
type usage struct {
	taken int
	full  bool // it asked for more since it had nothing
}

func newSlots(perClient, total int) *slots {
	return &slots{perClient: perClient, total: total, taken: map[netip.AddrPort]bool{},
		clients: map[netip.Addr]usage{}}
}

// take takes a slot, and says whether there was one; not if the client has that one already. news is true when the
// client has all that it may have, the first time.
func (s *slots) take(client netip.AddrPort) (ok, news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	use := s.clients[client.Addr()]
	switch {
	case s.taken[client] || len(s.taken) >= s.total:
		return false, false
	case use.taken >= s.perClient:
		news, use.full = !use.full, true
	default:
		ok = true
		use.taken++
		s.taken[client] = true
	}
	s.clients[client.Addr()] = use
	return ok, news
}

// give gives a slot back. Nothing happens if it was not taken.
func (s *slots) give(client netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.taken[client] {
		return
	}
	delete(s.taken, client)
	use := s.clients[client.Addr()]
	if use.taken--; use.taken == 0 {
		delete(s.clients, client.Addr())
		return
	}
	s.clients[client.Addr()] = use
}
