package netcfg

import (
	"log/slog"
	"time"
)

// EventKind says what happened.
type EventKind int

// The kinds of events, and which fields of [Event] each has besides Interface and NIC.
const (
	EventLease   EventKind = iota // an address came into force, or changed: Lease
	EventRenewed                  // the lease goes on with the same address and gateway: Lease
	EventLost                     // the address was removed: Lease (the one that was), Err
	EventNoLease                  // still no lease; comes ever more rarely: Tried, Err
	EventNIC                      // another NIC is in use
	EventNoNIC                    // no NIC can be used: Err
	EventProblem                  // something failed, the rest goes on: Err
)

var eventNames = [...]string{"lease", "renewed", "lost", "no lease", "NIC", "no NIC", "problem"}

func (k EventKind) String() string { return eventNames[k] }

// Event is something about the network that a person would want to know.
type Event struct {
	Kind      EventKind
	Interface string        // that has, or is to have, the address: the bridge, or the guest's NIC
	NIC       string        // the NIC in use; empty: none
	Lease     *Lease        // not to be changed
	Tried     time.Duration // how long a lease has been looked for through this NIC
	Err       error
}

// Attrs returns the event's fields for a log line, with the keys that the console lines have:
// interface, nic, address, gateway, tried and err, as far as they mean something.
func (e Event) Attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("interface", e.Interface)}
	if e.NIC != "" {
		attrs = append(attrs, slog.String("nic", e.NIC))
	}
	if e.Lease != nil {
		attrs = append(attrs, slog.String("address", e.Lease.Address.String()))
		if gateway := e.Lease.Gateway(); gateway.IsValid() {
			attrs = append(attrs, slog.String("gateway", gateway.String()))
		}
	}
	if e.Tried > 0 {
		attrs = append(attrs, slog.String("tried", e.Tried.Round(time.Second).String()))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("err", e.Err.Error()))
	}
	return attrs
}
