package control

import (
	"maps"
	"slices"
	"sync"
)

// lives are the goroutines that live guests' lives, by the guests' UUIDs: how an order reaches one. What there is to
// know of the guests is in the state alone. The zero value is ready.
type lives struct {
	mu sync.Mutex
	by map[string]*life
}

// of returns the life of a guest, nil where nobody lives it.
func (all *lives) of(uuid string) *life {
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.by[uuid]
}

// all returns all lives.
func (all *lives) all() []*life {
	all.mu.Lock()
	defer all.mu.Unlock()
	return slices.Collect(maps.Values(all.by))
}

func (all *lives) add(l *life) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.by == nil {
		all.by = map[string]*life{}
	}
	all.by[l.uuid] = l
}

func (all *lives) remove(l *life) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.by[l.uuid] == l {
		delete(all.by, l.uuid)
	}
}
