package supervise

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Table has all services of a host by their names. Its mutex guards which there are; what each does is its owner's.
type Table struct {
	mu       sync.Mutex
	services map[string]*Daemon
	busy     map[string]bool // somebody starts or stops it
	removed  map[string]bool // meanwhile, of those
}

// Failures of orders about services.
var (
	ErrNoService = errors.New("there is no such service")
	ErrRefused   = errors.New("refused")
)

// NewTable returns a Table without services.
func NewTable() *Table {
	return &Table{services: map[string]*Daemon{}, busy: map[string]bool{}, removed: map[string]bool{}}
}

// Add starts a service and waits until it is ready. When it fails for good, or ctx ends first, nothing is left running
// and the error says why; later failures are reported through Spec.Report, and ctx has no influence any more. It is in
// the table from then on, also when it could not be started.
func (t *Table) Add(ctx context.Context, spec Spec) error {
	release, _, err := t.take(spec.Name, func(d *Daemon) error {
		if d == nil || d.isOff() {
			return nil
		}
		return fmt.Errorf("%s: %w: there is one of that name", spec.Name, ErrRefused)
	})
	if err != nil {
		return err
	}
	defer release()
	return t.start(ctx, spec)
}

func (t *Table) start(ctx context.Context, spec Spec) error {
	t.mu.Lock()
	if t.removed[spec.Name] {
		t.mu.Unlock()
		return fmt.Errorf("start %s: %w", spec.Name, ErrNoService)
	}
	d := begin(spec)
	t.services[spec.Name] = d
	t.mu.Unlock()
	return d.await(ctx)
}

// Remove stops a service, whatever it is doing, and forgets it. Whoever is about to start it does not.
func (t *Table) Remove(name string) {
	t.mu.Lock()
	d := t.services[name]
	delete(t.services, name)
	if t.busy[name] {
		t.removed[name] = true
	}
	t.mu.Unlock()
	if d != nil {
		d.Stop()
	}
}

// List returns the state of every service, by name.
func (t *Table) List() []Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []Status
	for _, name := range slices.Sorted(maps.Keys(t.services)) {
		list = append(list, t.services[name].Status())
	}
	return list
}

// Verbs are the orders that Order knows.
var Verbs = []string{"start", "stop", "restart"}

// Order starts, stops or restarts the service called name, and returns when that is done. What is essential is
// started only once, and what is Kept is not stopped. Errors are ErrNoService, ErrRefused, and those of the start.
func (t *Table) Order(ctx context.Context, verb, name string) error {
	if !slices.Contains(Verbs, verb) {
		return fmt.Errorf("%q: %w: orders are %s", verb, ErrRefused, strings.Join(Verbs, ", "))
	}
	release, d, err := t.take(name, func(d *Daemon) error {
		if d != nil {
			return nil
		}
		return fmt.Errorf("%s: %w: there are %s", name, ErrNoService,
			strings.Join(slices.Sorted(maps.Keys(t.services)), ", "))
	})
	if err != nil {
		return err
	}
	defer release()
	if d.isOff() {
		return d.orderOff(verb)
	}
	if d.spec.Essential {
		return fmt.Errorf("%s %s: %w: what it keeps would be lost; %s", verb, name, ErrRefused, d.spec.Remedy)
	}
	if verb == "stop" && d.spec.Kept != "" {
		return fmt.Errorf("stop %s: %w: %s", name, ErrRefused, d.spec.Kept)
	}
	over := d.Status().Phase.final()
	if verb == "start" && !over {
		return nil
	}
	d.again.Store(verb == "restart")
	d.Stop()
	if verb == "stop" {
		return nil
	}
	return t.start(ctx, d.spec)
}

// take makes an order about a service the only one until release is called. check says, under the mutex, whether it
// makes sense for that service, which is nil where there is none of the name.
func (t *Table) take(name string, check func(*Daemon) error) (release func(), d *Daemon, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d = t.services[name]
	if err := check(d); err != nil {
		return nil, nil, err
	}
	if t.busy[name] {
		return nil, nil, fmt.Errorf("%s: %w: somebody is starting or stopping it", name, ErrRefused)
	}
	t.busy[name] = true
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.busy, name)
		delete(t.removed, name)
	}, d, nil
}
