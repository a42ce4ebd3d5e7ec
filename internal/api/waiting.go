package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/zerodisc/zerodisc/internal/guarded"
)

// waitOperation answers when an operation has ended, or after timeout seconds, where they are given, as it stands.
func (s *server) waitOperation(_ http.ResponseWriter, r *http.Request) answer {
	id := r.PathValue("id")
	op, ended, err := s.operations.get(id)
	if err != nil {
		return failed(err)
	}
	seconds, err := number(r, "timeout", -1, -1)
	if err != nil {
		return failed(err)
	}
	var late <-chan time.Time
	if seconds >= 0 {
		late = time.After(time.Duration(min(seconds, maxTimeout)) * time.Second)
	}
	select {
	case <-ended:
	case <-late:
	case <-r.Context().Done():
		return done{}
	}
	if now, _, err := s.operations.get(id); err == nil {
		op = now // else it is forgotten already
	}
	return result{op}
}

// openWebsocket gives an operation the websocket that it waits for, and returns when the operation has ended: net/http
// ends the request's context then.
func (s *server) openWebsocket(w http.ResponseWriter, r *http.Request) answer {
	to, ended, err := s.operations.claim(r.PathValue("id"), r.URL.Query().Get("secret"))
	if err != nil {
		return failed(err)
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return done{} // Accept has said why
	}
	to <- conn // it has room for the one that a secret opens
	<-ended
	_ = conn.CloseNow()
	return done{}
}

// eventSources are the types of events. Each subscribes at once, and hands out what comes when it is called, until ctx
// ends.
var eventSources = map[string]func(*server, context.Context) func(chan<- Event){
	EventLifecycle: (*server).lifecycle,
	EventLogging:   (*server).logging,
	EventOperation: (*server).operationEvents,
}

// getEvents sends what happens over a websocket, for as long as the client listens. type is a list of types.
func (s *server) getEvents(w http.ResponseWriter, r *http.Request) answer {
	types := []string{EventLifecycle, EventOperation}
	if given := r.URL.Query().Get("type"); given != "" {
		types = slices.Compact(slices.Sorted(slices.Values(strings.Split(given, ","))))
	}
	for _, t := range types {
		if eventSources[t] == nil {
			return badRequest("type=%s: there is no such type of events; there are lifecycle, logging, operation", t)
		}
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	var sources []func(chan<- Event)
	for _, t := range types { // before the client knows that it listens
		sources = append(sources, eventSources[t](s, ctx))
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return done{}
	}
	defer conn.CloseNow()
	events := make(chan Event)
	for _, source := range sources {
		guarded.Go(ctx, func() { source(events) })
	}
	s.send(conn.CloseRead(ctx), conn, events)
	return done{}
}

// send writes events until the client goes, or does not read.
func (s *server) send(ctx context.Context, conn *websocket.Conn, events <-chan Event) {
	for {
		select {
		case e := <-events:
			text, err := json.Marshal(e)
			if err == nil {
				err = writeMessage(ctx, conn, websocket.MessageText, text)
			}
			if err != nil {
				s.Log.Debug("api", "events", "end", "err", err)
				if errors.Is(err, errUnread) {
					s.complaints.say("a client reads no events: its connection is closed",
						"read them all, or ask for fewer types")
				}
				return
			}
		case <-ctx.Done():
			_ = conn.Close(websocket.StatusGoingAway, "")
			return
		}
	}
}

// errUnread is a client that does not read.
var errUnread = errors.New("the client does not read")

// writeMessage writes to a client that has writeTimeout to read. The error is errUnread if it has not.
func writeMessage(ctx context.Context, conn *websocket.Conn, kind websocket.MessageType, p []byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err := conn.Write(ctx, kind, p)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errUnread
	}
	return err
}

// hand gives a reader an event, and says whether there is one still.
func hand(ctx context.Context, to chan<- Event, kind string, metadata any) bool {
	text, err := json.Marshal(metadata)
	if err != nil {
		return true
	}
	select {
	case to <- Event{Type: kind, Timestamp: time.Now().UTC(), Metadata: text}:
		return true
	case <-ctx.Done():
		return false
	}
}

// lost is the event that says that some are missing.
func lost(count int) Lifecycle {
	return Lifecycle{Action: "events-lost", Source: Version + "/events", Context: map[string]int{"count": count}}
}

// lifecycle hands out what happens to guests and to the host.
func (s *server) lifecycle(ctx context.Context) func(chan<- Event) {
	updates := s.State.Subscribe(ctx)
	<-updates // how everything is now
	return func(to chan<- Event) {
		for update := range until(ctx, updates) {
			if update.Lost > 0 && !hand(ctx, to, EventLifecycle, lost(update.Lost)) {
				return
			}
			for _, e := range update.Events {
				if !hand(ctx, to, EventLifecycle, lifecycleOf(e)) {
					return
				}
			}
		}
	}
}

// logging hands out the lines of the log.
func (s *server) logging(ctx context.Context) func(chan<- Event) {
	lines := s.Logs.Follow(ctx)
	return func(to chan<- Event) {
		for line := range until(ctx, lines) {
			if !hand(ctx, to, EventLogging, line) {
				return
			}
		}
	}
}

// operationEvents hands out what becomes of operations. Secrets of consoles are for who has opened them.
func (s *server) operationEvents(ctx context.Context) func(chan<- Event) {
	changes := s.operations.changes.read(ctx)
	return func(to chan<- Event) {
		for i := range until(ctx, changes) {
			if i.lost > 0 && !hand(ctx, to, EventLifecycle, lost(i.lost)) {
				return
			}
			i.value.Metadata.FDs = nil
			if !hand(ctx, to, EventOperation, i.value) {
				return
			}
		}
	}
}

// until returns what comes by a channel until ctx ends, or the channel.
func until[T any](ctx context.Context, from <-chan T) func(yield func(T) bool) {
	return func(yield func(T) bool) {
		for {
			select {
			case value, open := <-from:
				if !open || !yield(value) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}
