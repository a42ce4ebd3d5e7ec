package webstore

import "time"

// State says how far a store is.
type State string

// The states of a store, and which fields of [Event] each has besides Quiet.
const (
	Waiting  State = "waiting"  // something failed and is tried again: Err, Remedy
	Found    State = "found"    // the list was read: Guests
	Fetching State = "fetching" // Guest, Done, Total
	Finished State = "finished" // every guest was started or refused: Guests (started), Refused, Took
)

// Event is how far a store is, for a person. All its text is printable.
type Event struct {
	State   State
	Quiet   bool // for the report only: the console has shown it before, or it is too much for the console
	Guest   string
	Done    int64 // bytes of the guest's files that are there
	Total   int64 // bytes of all its files; 0 if the server does not say
	Guests  int
	Refused int
	Took    time.Duration
	Err     error
	Remedy  string
}
