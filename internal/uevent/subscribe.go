package uevent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// isRemembered is Config.Remember unless it is set.
func isRemembered(e Event) bool { return e.Subsystem == "block" || e.Subsystem == "net" }

// subscriber gets the events that filter accepts until ctx ends.
type subscriber struct {
	ctx    context.Context
	filter func(Event) bool
	in     chan Event // to its pump
}

// pump hands events from in to out, in order, and keeps what is not taken yet, so that a slow
// reader neither loses events nor holds up the manager. It closes out when in is closed or ctx
// ends, without waiting for what was not taken.
func pump(ctx context.Context, in <-chan Event, out chan<- Event) {
	defer close(out)
	var queue []Event
	for {
		var next Event
		var ready chan<- Event // nil, which never proceeds, while there is nothing to send
		if len(queue) > 0 {
			next, ready = queue[0], out
		}
		select {
		case event, ok := <-in:
			if !ok {
				return
			}
			queue = append(queue, event)
		case ready <- next:
			queue = queue[1:]
		case <-ctx.Done():
			return
		}
	}
}

// Subscribe returns the events that filter accepts, until ctx ends or the manager stops; then the channel is closed.
// Devices that are there already and remembered, as block and network devices are, come first, as "add" in the order
// of their paths. The same device may be reported as added twice. Filter runs in the manager's goroutine: it must be
// quick and must not call the manager.
func (m *Manager) Subscribe(ctx context.Context, filter func(Event) bool) (<-chan Event, error) {
	sub := &subscriber{ctx: ctx, filter: filter, in: make(chan Event)}
	out := make(chan Event)
	err := m.ask(ctx, func(s *state) {
		go pump(ctx, sub.in, out)
		s.subscribers[sub] = true
		for _, path := range slices.Sorted(maps.Keys(s.present)) {
			s.tell(sub, s.present[path])
		}
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to devices: %w", err)
	}
	return out, nil
}

// remember keeps track of the devices that are there.
func (s *state) remember(devices map[string]Event, e Event) {
	if !s.Remember(e) {
		return
	}
	switch e.Action {
	case "remove":
		delete(devices, e.DevPath)
		return
	case "move": // renamed
		delete(devices, e.Get("DEVPATH_OLD"))
	}
	devices[e.DevPath] = e.WithAction("add")
}

// takeAwayGone makes a "remove" of each device that is no longer there: the kernel's own may have been lost, or
// have come before coldplug's word of a device that it saw just before. To be called when coldplug is through.
func (s *state) takeAwayGone() {
	for _, path := range slices.Sorted(maps.Keys(s.seen)) {
		if _, err := fs.Stat(s.Sys, strings.TrimPrefix(path, "/")); errors.Is(err, fs.ErrNotExist) {
			s.event(s.seen[path].WithAction("remove"))
		}
	}
}

func (s *state) publish(e Event) {
	for sub := range s.subscribers {
		s.tell(sub, e)
	}
}

// tell hands the event to the subscriber's pump, or forgets a subscriber that has gone.
func (s *state) tell(sub *subscriber, e Event) {
	if sub.ctx.Err() == nil && !sub.filter(e) {
		return
	}
	select {
	case sub.in <- e:
	case <-sub.ctx.Done():
		delete(s.subscribers, sub)
	}
}

func (s *state) closeSubscribers() {
	for sub := range s.subscribers {
		close(sub.in)
	}
}
