// Package watchdog has the machine reset when nothing on it runs any more: a watchdog of the hardware, or Xen's, which
// Xen keeps for dom0, wants to be fed or resets the machine (Linux, Documentation/watchdog/watchdog-api.rst).
//
// It is the last resort. What feeds it asks the host's state first; a state that does not answer has the process end,
// guests go on, and the emergency process feeds in its place. Only where that does not help either, because the
// kernel hangs or nothing gets a processor, nobody feeds.
package watchdog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zerodisc/zerodisc/internal/tick"
)

// Options are what Run needs.
type Options struct {
	Kernel  Kernel
	Timeout time.Duration // from the last feed to the reset, if the hardware can wait so long

	Answers func(ctx context.Context) bool // whether the host answers, asked before each feed; nil: it is not asked
	Hung    func()                         // called when it has not answered for Patience
	// Patience is how long the host may be silent. The watchdog gets food all that time.
	Patience time.Duration

	Report func(Event) // must not block
}

// Event is what a watchdog does.
type Event struct {
	Device  string        // "watchdog0", "" where there is none
	Name    string        // of the hardware, or "xen_wdt"
	Timeout time.Duration // after which it resets the machine
	Err     error
}

// Kernel opens watchdogs.
type Kernel interface {
	// List lists the machine's watchdogs.
	List() ([]Device, error)
	Open(Device) (Dog, error) // starts it
}

// Device is a watchdog.
type Device struct{ Name, Identity string }

// Dog is a watchdog that waits for food.
type Dog interface {
	// SetTimeout asks for a timeout and returns the one it has.
	SetTimeout(time.Duration) (time.Duration, error)
	Feed() error
	Disarm() error // and closes it
}

// MinTimeout is that of a watchdog which is used, at least: everything may pause for some seconds.
const MinTimeout = 20 * time.Second

const (
	maxPause  = 10 * time.Second // between two feeds
	lookPause = 10 * time.Second // for a watchdog whose driver is late
)

// ErrNone is the failure to find a watchdog.
var ErrNone = errors.New("this machine has no watchdog")

// Run starts the machine's watchdog and feeds it until ctx ends, and then disarms it. Whoever leaves it armed ends the
// process instead.
func Run(ctx context.Context, o Options) error {
	device, err := o.find(ctx)
	if err != nil {
		return err
	}
	dog, timeout, err := o.start(device)
	if err != nil {
		return fmt.Errorf("watchdog %s (%s): %w", device.Name, device.Identity, err)
	}
	o.Report(Event{Device: device.Name, Name: device.Identity, Timeout: timeout})
	return errors.Join(o.feed(ctx, dog, timeout), dog.Disarm())
}

// start starts a watchdog, and disarms it if it is of no use.
func (o Options) start(device Device) (Dog, time.Duration, error) {
	dog, err := o.Kernel.Open(device)
	if err != nil {
		return nil, 0, err
	}
	timeout, err := dog.SetTimeout(o.Timeout)
	if err == nil && timeout < MinTimeout {
		err = fmt.Errorf("it waits for %v only", timeout)
	}
	if err != nil {
		return nil, 0, errors.Join(err, dog.Disarm())
	}
	return dog, timeout, nil
}

// find waits for a watchdog: some drivers are late.
func (o Options) find(ctx context.Context) (Device, error) {
	for range 3 {
		devices, err := o.Kernel.List()
		if err != nil {
			return Device{}, err
		}
		if device, ok := Choose(devices); ok {
			return device, nil
		}
		select {
		case <-time.After(lookPause):
		case <-ctx.Done():
			return Device{}, ctx.Err()
		}
	}
	o.Report(Event{Err: ErrNone})
	<-ctx.Done()
	return Device{}, ctx.Err()
}

// Identities (WDIOC_GETSUPPORT) of watchdogs that are no hardware.
const (
	xenIdentity  = "xen_wdt"           // Xen resets the machine when dom0 does not feed it
	softIdentity = "Software Watchdog" // softdog: hangs with the kernel
)

// Choose returns the watchdog to use: the first of the hardware's, or else Xen's.
func Choose(devices []Device) (chosen Device, ok bool) {
	for _, d := range devices {
		switch {
		case d.Identity == softIdentity:
		case d.Identity != xenIdentity:
			return d, true
		case !ok:
			chosen, ok = d, true
		}
	}
	return chosen, ok
}

// feed feeds until ctx ends.
func (o Options) feed(ctx context.Context, dog Dog, timeout time.Duration) error {
	pause := min(timeout/4, maxPause)
	heard := time.Now()
	for {
		if o.answers(ctx, pause) {
			heard = time.Now()
		} else if ctx.Err() == nil && time.Since(heard) > o.Patience {
			o.Hung()
		}
		if err := dog.Feed(); err != nil {
			return fmt.Errorf("feed the watchdog: %w", err)
		}
		select {
		case <-tick.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// answers asks the host whether it answers, for as long as limit.
func (o Options) answers(ctx context.Context, limit time.Duration) bool {
	if o.Answers == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return o.Answers(ctx)
}
