package sshd

import (
	"bytes"
	"encoding/json"
	"io"
	"sync"
)

// Kind is what an Event is about.
type Kind string

// The kinds of events.
const (
	Listening Kind = "listening" // Port, Fingerprints, Methods; with Problem it does not listen, and tries again
	LoggedIn  Kind = "login"     // From, Method
	Refused   Kind = "refused"   // From, Count: wrong passwords
	Crowded   Kind = "crowded"   // From, Count: connections that were closed at once
	Trouble   Kind = "trouble"   // Problem
)

// Event is what the server tells, as a line of JSON. Texts may have come from outside.
type Event struct {
	Kind         Kind     `json:"event"`
	Port         int      `json:"port,omitempty"`
	Fingerprints []string `json:"fingerprints,omitempty"` // of the host keys, "SHA256:..."
	Methods      []string `json:"methods,omitempty"`      // how one can log in: Key, Password, OneTime
	From         string   `json:"from,omitempty"`         // address
	Method       string   `json:"method,omitempty"`       // Password, OneTime, or Key with fingerprint and comment
	Count        int      `json:"count,omitempty"`
	Others       int      `json:"others,omitempty"` // events of this kind that were left out, as there were too many
	Problem      string   `json:"problem,omitempty"`
}

// Ways to log in.
const (
	Key      = "key"
	Password = "password"
	OneTime  = "one-time password"
)

// Teller returns what writes events to w, a line each.
func Teller(w io.Writer) func(Event) {
	var mu sync.Mutex
	return func(e Event) {
		line, err := json.Marshal(e)
		if err != nil {
			return // a struct of texts and numbers has none
		}
		mu.Lock()
		defer mu.Unlock()
		_, _ = w.Write(append(line, '\n')) // init may be gone
	}
}

// Listener is the other end: it takes lines of the server, which may have a prefix, gives the events to Tell, and
// everything to Rest.
type Listener struct {
	Tell func(Event)
	Rest io.Writer
}

// Write takes one line.
func (l Listener) Write(line []byte) (int, error) {
	if e, ok := parseEvent(line); ok {
		l.Tell(e)
	}
	return l.Rest.Write(line)
}

func parseEvent(line []byte) (Event, bool) {
	var e Event
	at := bytes.IndexByte(line, '{')
	if at < 0 {
		return e, false
	}
	err := json.Unmarshal(line[at:], &e)
	return e, err == nil && e.Kind != ""
}
