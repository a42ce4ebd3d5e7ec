package supervise

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Off stops a service, if it runs, and lists it as switched off, with the reason. Order refuses to start it; Ensure
// starts it.
func (t *Table) Off(spec Spec, why string) error {
	release, d, err := t.take(spec.Name, func(*Daemon) error { return nil })
	if err != nil {
		return err
	}
	defer release()
	if d != nil {
		d.Stop()
	}
	d = newDaemon(spec)
	close(d.done) // it has no owner
	off := &Status{Name: spec.Name, Phase: Off, Since: time.Now(), Err: errors.New(why), Quiet: true}
	d.status.Store(off)
	t.mu.Lock()
	t.services[spec.Name] = d
	t.mu.Unlock()
	if spec.Report != nil {
		spec.Report(*off)
	}
	return nil
}

// isOff says whether the service is one that is not to run.
func (d *Daemon) isOff() bool { return d != nil && d.Status().Phase == Off }

// orderOff is Order for a service that is off.
func (d *Daemon) orderOff(verb string) error {
	if verb == "stop" {
		return nil
	}
	return fmt.Errorf("%s %s: %w: it is %w", verb, d.spec.Name, ErrRefused, d.Status().Err)
}

// Ensure starts a service that does not run.
func (t *Table) Ensure(ctx context.Context, spec Spec) error {
	t.mu.Lock()
	d := t.services[spec.Name]
	t.mu.Unlock()
	if d == nil || d.isOff() {
		return t.Add(ctx, spec)
	}
	return t.Order(ctx, "start", spec.Name)
}
