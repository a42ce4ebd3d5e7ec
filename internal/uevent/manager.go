package uevent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/zerodisc/zerodisc/internal/guarded"
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

	// Handle, if set, has all that subscribers expect of a device done before they hear of an event: links, an entry in
	// a database. It must not block. It calls done with the event when it is through, and may call it again with a
	// "change" of the device, as often as it finds out more.
	Handle func(e Event, done func(Event))
	// Later says of a device that came that Settle does not wait for it. nil is none.
	Later func(Event) bool
	// Remember says which devices are remembered: a new subscriber gets them at once, and they are looked for when
	// events were lost. nil is block and network devices.
	Remember func(Event) bool
	// Busy, if set, is told in Run's goroutine when there is work, and when all of it is done: no event is being
	// handled, no module loads, and coldplug is through. At first there is work. It must not block.
	Busy func(bool)
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
	if config.Remember == nil {
		config.Remember = isRemembered
	}
	if config.Busy == nil {
		config.Busy = func(bool) {}
	}
	if config.Later == nil {
		config.Later = func(Event) bool { return false }
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
	handled      bool // the event has been handled
	counted      *int // and was counted there until now
}

// state is what Run's goroutine owns.
type state struct {
	Config
	now func() time.Time

	messages chan message
	stop     context.Context

	known    map[string]bool // modaliases queued, being loaded or done
	queue    []string        // modaliases to load
	loading  int             // workers at it
	handling int             // events that Handle is not through with
	later    int             // those of them that Settle does not wait for
	busy     bool            // as Busy was told

	coldplugging bool // a coldplug is under way
	again        bool // and another is to follow
	last         time.Time
	settlers     []settler

	seen        map[string]Event // remembered devices by DevPath
	present     map[string]Event // those of them that have been handled
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
	s.Busy(true)
	guarded.Go(ctx, func() { s.receive() })
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
		if busy := s.working() || s.later > 0; busy != s.busy {
			s.busy = busy
			s.Busy(busy)
		}
	}
}

// working says whether there is work that Settle waits for.
func (s *state) working() bool {
	return s.coldplugging || s.loading > 0 || len(s.queue) > 0 || s.handling > 0
}

func newState(ctx context.Context, config Config) *state {
	return &state{
		Config: config, now: time.Now, last: time.Now(), stop: ctx,
		messages: make(chan message, 64), busy: true,
		known: map[string]bool{}, subscribers: map[*subscriber]bool{},
		seen: map[string]Event{}, present: map[string]Event{},
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
	guarded.Go(s.stop, func() {
		err := Coldplug(s.stop, s.Sys, func(e Event) { s.send(message{event: e}) })
		s.send(message{coldplugDone: true, err: err})
	})
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
	case m.handled:
		s.handled(m.event, m.counted)
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

// event queues the event's modalias and has the event handled, both at once. Only devices that come disturb the
// quiet: a battery or a drive without a disc may report changes for ever.
func (s *state) event(e Event) {
	count := &s.handling
	if s.Later(e) {
		count = &s.later
	}
	if e.Action == "add" || e.Action == "bind" {
		if count == &s.handling {
			s.last = s.now()
		}
		if e.Modalias != "" && !s.known[e.Modalias] {
			s.known[e.Modalias] = true
			s.queue = append(s.queue, e.Modalias)
		}
	}
	s.remember(s.seen, e)
	if s.Handle == nil {
		s.handled(e, nil)
		return
	}
	*count++
	var called atomic.Bool
	s.Handle(e, func(e Event) {
		m := message{handled: true, event: e}
		if !called.Swap(true) {
			m.counted = count
		}
		s.send(m)
	})
}

// handled hands an event to subscribers. counted is where it was counted.
func (s *state) handled(e Event, counted *int) {
	if counted != nil {
		*counted--
	}
	s.remember(s.present, e)
	s.publish(e)
}

// dispatch starts workers for what is queued.
func (s *state) dispatch() {
	for len(s.queue) > 0 && s.loading < s.Workers {
		modalias := s.queue[0]
		s.queue = s.queue[1:]
		s.loading++
		guarded.Go(s.stop, func() {
			err := s.Load(s.stop, modalias)
			s.send(message{loaded: modalias, err: err})
		})
	}
}

// settle releases those whose quiet has come, and says when the next one's may.
func (s *state) settle() (wait time.Duration, waiting bool) {
	if s.working() {
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

// Settle waits until coldplug is through, all events are handled, no module is queued or loading, and no device has
// come for quiet. Config.Later has exceptions. The error is ctx's, or says that the manager has stopped.
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
