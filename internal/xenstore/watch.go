package xenstore

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Special paths a privileged client can watch (docs/misc/xenstore.txt).
const (
	IntroduceDomain = "@introduceDomain" // a domain came
	ReleaseDomain   = "@releaseDomain"   // a domain crashed, shut down or went
)

// Event says that something changed at or below a watched path. It is a hint to look again:
// xenstored sends one right after a watch is set, may send spurious ones, and equal events that
// nobody has fetched yet are sent on once.
type Event struct {
	Watch string // the path given to Add
	Path  string // the path that changed, a child of Watch; Watch itself where too many changed to name them
}

// registration is one watched path as xenstored knows it.
type registration struct {
	watcher *Watcher
	path    string
	token   string
}

// Watcher receives the events of any number of paths on one channel. Its queue is bounded: an event already in it
// is not added again, and a guest that changes ever other paths below a watched one gets one event for them all.
type Watcher struct {
	client *Client
	events chan Event

	mu         sync.Mutex // guards what follows
	queue      []Event
	wake       chan struct{} // has one element while the queue may have grown
	registered map[string]*registration
	closed     bool
	quit       chan struct{} // closed when closed is set
}

// NewWatcher returns a watcher without paths. Close it when done.
func (c *Client) NewWatcher() *Watcher {
	w := &Watcher{
		client:     c,
		events:     make(chan Event),
		wake:       make(chan struct{}, 1),
		registered: map[string]*registration{},
		quit:       make(chan struct{}),
	}
	go w.pump()
	return w
}

// Watch returns a watcher of paths.
func (c *Client) Watch(ctx context.Context, paths ...string) (*Watcher, error) {
	w := c.NewWatcher()
	for _, path := range paths {
		if err := w.Add(ctx, path); err != nil {
			w.Close(ctx)
			return nil, err
		}
	}
	return w, nil
}

// Events is the channel of events. It is closed by Close and when the connection ends.
func (w *Watcher) Events() <-chan Event { return w.events }

// Add starts watching path. A path that is watched already is left as it is.
func (w *Watcher) Add(ctx context.Context, path string) error {
	r, err := w.register(path)
	if err != nil || r == nil {
		return err
	}
	if _, err := w.client.call(ctx, "watch", typeWatch, path, string(joinStrings(r.token))); err != nil {
		w.unregister(r)
		return err
	}
	return nil
}

// Remove stops watching path. Events of it that are queued already may still arrive.
func (w *Watcher) Remove(ctx context.Context, path string) error {
	w.mu.Lock()
	r := w.registered[path]
	w.mu.Unlock()
	if r == nil {
		return nil
	}
	w.unregister(r)
	_, err := w.client.call(ctx, "unwatch", typeUnwatch, path, string(joinStrings(r.token)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // xenstored had dropped it already
	}
	return err
}

// closeLimit is how long Close waits for xenstored.
const closeLimit = 2 * time.Second

// Close stops all watches and closes the channel of events. It does not wait long for a xenstored that hangs: a
// power-off must go on.
func (w *Watcher) Close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, closeLimit)
	defer cancel()
	w.mu.Lock()
	paths := make([]string, 0, len(w.registered))
	for path := range w.registered {
		paths = append(paths, path)
	}
	w.mu.Unlock()
	for _, path := range paths {
		_ = w.Remove(ctx, path) // events without a registration are dropped, sent or not
	}
	w.stop()
}

// register gives path a token before xenstored is asked, since the first event can overtake
// the reply. It returns nil when the path is watched already.
func (w *Watcher) register(path string) (*registration, error) {
	c := w.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, ErrClosed
	}
	if w.registered[path] != nil {
		return nil, nil
	}
	c.token++
	r := &registration{watcher: w, path: path, token: strconv.FormatUint(c.token, 10)}
	c.watches[r.token] = r
	w.registered[path] = r
	return r, nil
}

func (w *Watcher) unregister(r *registration) {
	w.client.mu.Lock()
	delete(w.client.watches, r.token)
	w.client.mu.Unlock()
	w.mu.Lock()
	delete(w.registered, r.path)
	w.mu.Unlock()
}

// event routes the payload <path>|<token>| of a WATCH_EVENT. The header's numbers are of no use:
// the kernel's device leaves them uninitialised.
func (c *Client) event(payload []byte) {
	parts := splitStrings(payload)
	if len(parts) < 2 {
		return
	}
	c.mu.Lock()
	r := c.watches[parts[1]]
	c.mu.Unlock()
	if r != nil {
		r.watcher.enqueue(Event{Watch: r.path, Path: parts[0]})
	}
}

// maxQueued is how many paths below a watched one are named while nobody fetches their events.
const maxQueued = 64

func (w *Watcher) enqueue(event Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.queued(event.Watch) >= maxQueued {
		event.Path = event.Watch
	}
	if slices.Contains(w.queue, event) {
		return
	}
	w.queue = append(w.queue, event)
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// queued counts the events of a watch. The caller holds w.mu.
func (w *Watcher) queued(watch string) int {
	n := 0
	for _, event := range w.queue {
		if event.Watch == watch {
			n++
		}
	}
	return n
}

// pump moves events from the queue to the channel until the watcher or the connection ends.
func (w *Watcher) pump() {
	defer close(w.events)
	for {
		select {
		case <-w.wake:
		case <-w.quit:
			return
		case <-w.client.done:
			return
		}
		for _, event := range w.take() {
			select {
			case w.events <- event:
			case <-w.quit:
				return
			case <-w.client.done:
				return
			}
		}
	}
}

func (w *Watcher) take() []Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	events := w.queue
	w.queue = nil
	return events
}

func (w *Watcher) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.closed = true
		close(w.quit)
	}
}
