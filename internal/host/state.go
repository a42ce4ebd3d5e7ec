package host

import (
	"context"
	"sync/atomic"
)

// State owns what the host knows. One goroutine changes it.
type State struct {
	done      <-chan struct{}
	requests  chan request
	current   atomic.Pointer[Snapshot]
	subscribe chan subscription
}

// request is a fact on its way, nil of a question, and where to say that it is known.
type request struct {
	fact    Fact
	applied chan struct{}
}

// Update is what a subscriber gets: the newest state, and what has happened since its last update.
type Update struct {
	*Snapshot
	Events []Event
	Lost   int // events that were left out, because the subscriber was slow: the oldest
}

// subscription is a subscriber's mailbox, with room for one update. The state's goroutine alone writes to
// it: what was not fetched yet is merged with what comes.
type subscription struct {
	done    <-chan struct{}
	updates chan Update
}

// maxEvents is how many events wait for a subscriber at most.
const maxEvents = 1000

// New starts a State, which runs until ctx ends. version is that of zerodisc.
func New(ctx context.Context, version string) *State {
	s := &State{done: ctx.Done(), requests: make(chan request), subscribe: make(chan subscription)}
	m := newModel(version)
	s.current.Store(m.snapshot(0))
	go s.run(m)
	return s
}

// Tell makes a fact known. When it returns, Snapshot shows the fact.
func (s *State) Tell(fact Fact) {
	r := request{fact: fact, applied: make(chan struct{})}
	select {
	case s.requests <- r:
		<-r.applied
	case <-s.done:
	}
}

// Answers says whether the state takes facts, and has done so before ctx ends. Nothing changes by it.
func (s *State) Answers(ctx context.Context) bool {
	r := request{applied: make(chan struct{})}
	select {
	case s.requests <- r:
		<-r.applied
		return true
	case <-s.done:
	case <-ctx.Done():
	}
	return false
}

// Snapshot returns the state as it stands.
func (s *State) Snapshot() *Snapshot { return s.current.Load() }

// Subscribe returns a channel that has the present state at once and an Update after changes, until ctx
// ends. A subscriber that is slow misses no state, and no event unless there were over a thousand.
func (s *State) Subscribe(ctx context.Context) <-chan Update {
	sub := subscription{done: ctx.Done(), updates: make(chan Update, 1)}
	select {
	case s.subscribe <- sub:
	case <-s.done:
	}
	return sub.updates
}

func (s *State) run(m *model) {
	var subscriptions []subscription
	for {
		select {
		case r := <-s.requests:
			if r.fact == nil { // somebody asks whether there is an answer
				close(r.applied)
				continue
			}
			m.number++
			m.same = false
			r.fact.apply(m)
			if m.same { // nobody is woken for it, and nobody waits for its number
				m.number--
			}
			update := Update{Snapshot: m.snapshot(m.number), Events: m.events}
			m.events = nil
			s.current.Store(update.Snapshot)
			if !m.same {
				subscriptions = offer(subscriptions, update)
			}
			close(r.applied)
		case sub := <-s.subscribe:
			sub.updates <- Update{Snapshot: s.Snapshot()}
			subscriptions = append(subscriptions, sub)
		case <-s.done:
			return
		}
	}
}

// offer gives an update to all subscribers, and returns those that still want some.
func offer(subscriptions []subscription, update Update) []subscription {
	kept := subscriptions[:0]
	for _, sub := range subscriptions {
		select {
		case <-sub.done:
			continue
		default:
		}
		next := update
		select {
		case waiting := <-sub.updates:
			next = merge(waiting, update)
		default:
		}
		sub.updates <- next
		kept = append(kept, sub)
	}
	clear(subscriptions[len(kept):])
	return kept
}

// merge makes one update of two.
func merge(older, newer Update) Update {
	events := append(older.Events[:len(older.Events):len(older.Events)], newer.Events...)
	lost := max(0, len(events)-maxEvents)
	return Update{Snapshot: newer.Snapshot, Events: events[lost:], Lost: older.Lost + newer.Lost + lost}
}
