package netserve

import (
	"net/netip"
	"testing"
)

func TestSlots(t *testing.T) {
	s := newSlots(2, 3)
	for i, c := range []struct {
		client   string
		give     bool
		ok, news bool
	}{
		{"10.0.0.1:1", false, true, false},
		{"10.0.0.1:1", false, false, false}, // again
		{"10.0.0.1:2", false, true, false},
		{"10.0.0.1:3", false, false, true},
		{"10.0.0.1:4", false, false, false}, // was said
		{"10.0.0.1:4", true, false, false},  // it has none
		{"10.0.0.2:1", false, true, false},
		{"10.0.0.3:1", false, false, false}, // all are taken
		{"10.0.0.1:1", true, false, false},
		{"10.0.0.3:1", false, true, false},
		{"10.0.0.3:1", true, false, false},
		{"10.0.0.1:2", true, false, false},
		{"10.0.0.1:2", false, true, false},
		{"10.0.0.1:3", false, true, false},
	} {
		client := netip.MustParseAddrPort(c.client)
		if c.give {
			s.give(client)
			continue
		}
		if ok, news := s.take(client); ok != c.ok || news != c.news {
			t.Errorf("step %d, %s: got %v and %v", i, c.client, ok, news)
		}
	}
	for _, client := range []string{"10.0.0.1:2", "10.0.0.1:3", "10.0.0.2:1"} {
		s.give(netip.MustParseAddrPort(client))
	}
	if len(s.taken) != 0 || len(s.clients) != 0 {
		t.Errorf("%v and %v are left", s.taken, s.clients)
	}
}
