package netcfg

import "time"

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
