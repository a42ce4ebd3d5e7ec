package webstore

import (
	"fmt"
	"log/slog"
	"time"
)

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

// Attrs returns the event's fields for a log line, with the keys that the console lines have.
func (e Event) Attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("state", string(e.State))}
	switch e.State {
	case Waiting:
		return append(attrs, slog.String("err", e.Err.Error()), slog.String("remedy", e.Remedy))
	case Found:
		return append(attrs, slog.Int("guests", e.Guests))
	case Finished:
		return append(attrs,
			slog.Int("guests", e.Guests), slog.Int("refused", e.Refused), slog.Int64("ms", e.Took.Milliseconds()))
	}
	attrs = append(attrs, slog.String("guest", e.Guest), slog.Int64("done", e.Done))
	if e.Total > 0 {
		attrs = append(attrs, slog.Int64("total", e.Total))
	}
	return attrs
}

// String is the event as a report has it.
func (e Event) String() string {
	const mib = 1 << 20
	switch {
	case e.State == Waiting:
		return fmt.Sprintf("%v (still trying); %s", e.Err, e.Remedy)
	case e.State == Found:
		return fmt.Sprintf("%d guests found", e.Guests)
	case e.State == Finished:
		return fmt.Sprintf("%d guests started, %d refused", e.Guests, e.Refused)
	case e.Total == 0:
		return fmt.Sprintf("fetching %s, %d MiB", e.Guest, e.Done/mib)
	}
	return fmt.Sprintf("fetching %s, %d of %d MiB (%d %%)", e.Guest, e.Done/mib, e.Total/mib, e.percent())
}

// percent is computed in steps of 1 KiB, so that it cannot overflow.
func (e Event) percent() int64 { return min(100, (e.Done>>10)*100/max(1, e.Total>>10)) }
