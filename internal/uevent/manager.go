package uevent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"
)

// defaultWorkers is how many modules load at once unless Config says otherwise. More than there
// are CPUs: most of a driver's first seconds is waiting for its hardware.
const defaultWorkers = 8

// Source is where events come from: a Listener, or a test's.
type Source interface {
	Receive() (Event, error)
	Close() error
}

// Config is what a Manager works with.
type Config struct {
	Source Source // listening since before the manager looks at Sys
	Sys    fs.FS  // /sys, where coldplug looks

	// Load loads the modules for a modalias. An error is logged and the modalias tried again
	// with the next device that has it; what Final accepts is as good as done.
	Load  func(ctx context.Context, modalias string) error
	Final func(error) bool

	Workers int // how many Loads at once; 0 is 8
	Log     *slog.Logger
}

// Manager loads modules for events and hands the events to subscribers. All of its state belongs to
// the goroutine in Run; the methods send it requests.
type Manager struct {
	config   Config
	requests chan func(*state)
	stopped  chan struct{} // closed when Run has returned
}

// NewManager returns a manager; nothing happens before Run.
func NewManager(config Config) *Manager {
	if config.Workers <= 0 {
		config.Workers = defaultWorkers
	}
	if config.Final == nil {
		config.Final = func(error) bool { return false }
	}
	if config.Log == nil {
		config.Log = slog.Default()
	}
	return &Manager{config: config, requests: make(chan func(*state)), stopped: make(chan struct{})}
}

// message is what the manager's own goroutines report.
type message struct {
	event        Event
	overflow     bool   // events were lost
	coldplugDone bool   // with err, what it failed on
	loaded       string // the modalias a worker is done with, with err
	fatal        bool   // the source is of no more use, with err
	err          error
}

// state is what Run's goroutine owns.
type state struct {
	Config
	now func() time.Time

	messages chan message
	stop     context.Context

	known   map[string]bool // modaliases queued, being loaded or done
	queue   []string        // modaliases to load
	loading int             // workers at it

	coldplugging bool // a coldplug is under way
	again        bool // and another is to follow
	last         time.Time
	settlers     []settler

	present     map[string]Event // devices of remembered subsystems, by DevPath
	subscribers map[*subscriber]bool
}

// settler waits for quiet.
type settler struct {
	quiet time.Duration
	done  chan struct{}
}

// Run coldplugs, then follows events until ctx ends or the source fails; it closes the source.
// It may be called once.
func (m *Manager) Run(ctx context.Context) error {
	defer close(m.stopped)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer m.config.Source.Close()
	s := newState(ctx, m.config)
	defer s.closeSubscribers()
	go s.receive()
	s.coldplug()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case request := <-m.requests:
			request(s)
		case <-timer.C:
		case message := <-s.messages:
			if message.fatal {
				return fmt.Errorf("follow devices: %w", message.err)
			}
			s.handle(message)
		}
		s.dispatch()
		if wait, ok := s.settle(); ok {
			timer.Reset(wait)
		}
	}
}

func newState(ctx context.Context, config Config) *state {
	return &state{
		Config: config, now: time.Now, last: time.Now(), stop: ctx,
		messages: make(chan message, 64),
		known:    map[string]bool{}, present: map[string]Event{}, subscribers: map[*subscriber]bool{},
	}
}

// send reports to Run's goroutine, unless that has ended.
func (s *state) send(m message) bool {
	select {
	case s.messages <- m:
		return true
	case <-s.stop.Done():
		return false
	}
}

// receive hands the source's events on; it runs in its own goroutine.
func (s *state) receive() {
	for {
		event, err := s.Source.Receive()
		m := message{event: event, err: err}
		if err != nil {
			m.overflow = errors.Is(err, ErrOverflow)
			m.fatal = !m.overflow
		}
		if !s.send(m) || m.fatal {
			return
		}
	}
}

// coldplug starts to look through /sys, or has it done again where that is under way.
func (s *state) coldplug() {
	if s.coldplugging {
		s.again = true
		return
	}
	s.coldplugging = true
	go func() {
		err := Coldplug(s.stop, s.Sys, func(e Event) { s.send(message{event: e}) })
		s.send(message{coldplugDone: true, err: err})
	}()
}

// handle takes in one message.
func (s *state) handle(m message) {
	switch {
	case m.overflow:
		s.Log.Warn("uevents", "err", m.err)
		s.coldplug()
	case m.coldplugDone:
		s.coldplugged(m.err)
	case m.loaded != "":
		s.loaded(m.loaded, m.err)
	default:
		s.event(m.event)
	}
}

func (s *state) coldplugged(err error) {
	if err != nil {
		s.Log.Warn("coldplug", "err", err)
	}
	s.coldplugging = false
	s.takeAwayGone()
	if s.again {
		s.again = false
		s.coldplug()
	}
}

func (s *state) loaded(modalias string, err error) {
	s.loading--
	s.last = s.now()
	switch {
	case err == nil:
	case s.Final(err):
		s.Log.Debug("modalias", "modalias", modalias, "err", err)
	default:
		s.Log.Warn("modalias", "modalias", modalias, "err", err)
		delete(s.known, modalias)
	}
}

// event queues the event's modalias and hands it to subscribers. Only devices that come disturb the
// quiet: a battery or a drive without a disc may report changes for ever.
func (s *state) event(e Event) {
	if e.Action == "add" || e.Action == "bind" {
		s.last = s.now()
		if e.Modalias != "" && !s.known[e.Modalias] {
			s.known[e.Modalias] = true
			s.queue = append(s.queue, e.Modalias)
		}
	}
	s.remember(e)
	s.publish(e)
}

// dispatch starts workers for what is queued.
func (s *state) dispatch() {
	for len(s.queue) > 0 && s.loading < s.Workers {
		modalias := s.queue[0]
		s.queue = s.queue[1:]
		s.loading++
		go func() {
			err := s.Load(s.stop, modalias)
			s.send(message{loaded: modalias, err: err})
		}()
	}
}

// settle releases those whose quiet has come, and says when the next one's may.
func (s *state) settle() (wait time.Duration, waiting bool) {
	if s.coldplugging || s.loading > 0 || len(s.queue) > 0 {
		return 0, false // whatever ends that wakes Run
	}
	rest := s.settlers[:0]
	for _, settler := range s.settlers {
		left := settler.quiet - s.now().Sub(s.last)
		if left <= 0 {
			close(settler.done)
			continue
		}
		if !waiting || left < wait {
			wait, waiting = left, true
		}
		rest = append(rest, settler)
	}
	s.settlers = rest
	return wait, waiting
}

// errStopped is what a request to a manager that has ended gets.
var errStopped = errors.New("device manager has stopped")

// ask has Run's goroutine do request.
func (m *Manager) ask(ctx context.Context, request func(*state)) error {
	select {
	case m.requests <- request:
		return nil
	case <-m.stopped:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Settle waits until coldplug is through, no module is queued or loading, and no device has
// come for quiet. The error is ctx's, or says that the manager has stopped.
func (m *Manager) Settle(ctx context.Context, quiet time.Duration) error {
	done := make(chan struct{})
	err := m.ask(ctx, func(s *state) { s.settlers = append(s.settlers, settler{quiet, done}) })
	if err != nil {
		return fmt.Errorf("settle devices: %w", err)
	}
	select {
	case <-done:
		return nil
	case <-m.stopped:
		return fmt.Errorf("settle devices: %w", errStopped)
	case <-ctx.Done():
		return fmt.Errorf("settle devices: %w", ctx.Err())
	}
}
