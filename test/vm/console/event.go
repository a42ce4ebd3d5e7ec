package console

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Event is one logfmt line of dom0's init, as log/slog's text handler writes it
// (docs/console.md): its keys and values, and when it was seen.
type Event struct {
	At     time.Time
	Fields map[string]string

	line int // number of the line it stands in
}

// Get returns the value of key, "" where the event has none.
func (e Event) Get(key string) string { return e.Fields[key] }

// Milliseconds returns the ms= of the event as a duration.
func (e Event) Milliseconds() (time.Duration, error) {
	ms, err := strconv.ParseInt(e.Get("ms"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("console line msg=%q: ms=%q is no number of milliseconds", e.Get("msg"), e.Get("ms"))
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// Query is what a wait looks for: an event that has every one of these keys with these values.
type Query map[string]string

// ParseQuery parses a query in the form of the lines themselves: msg="guest running" guest=tty1.
func ParseQuery(text string) (Query, error) {
	fields, rest := parsePairs(text)
	if rest != "" {
		return nil, fmt.Errorf("query %q: %q is not key=value", text, rest)
	}
	if len(fields) == 0 {
		return nil, errors.New("empty query")
	}
	return fields, nil
}

// Matches says whether e answers the query.
func (q Query) Matches(e Event) bool {
	for key, want := range q {
		if got, ok := e.Fields[key]; !ok || got != want {
			return false
		}
	}
	return true
}

// eventStart finds where a line of init begins: other output that ended without a line feed (a
// shell's prompt) may stand before it.
var eventStart = regexp.MustCompile(`(?:^|\W)(level=(?:DEBUG|INFO|WARN|ERROR)[-+0-9]* )`)

// parseEvent reads the logfmt line in text, if there is one.
func parseEvent(text string) (Event, bool) {
	at := eventStart.FindStringSubmatchIndex(text)
	if at == nil {
		return Event{}, false
	}
	fields, _ := parsePairs(text[at[2]:])
	_, ok := fields["msg"]
	return Event{Fields: fields}, ok
}

// parsePairs parses key=value pairs separated by spaces; a value is a Go string literal or
// everything up to the next space. It stops at the first word that is no pair and returns the rest.
func parsePairs(text string) (fields map[string]string, rest string) {
	fields = map[string]string{}
	for text = strings.TrimLeft(text, " "); text != ""; text = strings.TrimLeft(text, " ") {
		key, value, ok := strings.Cut(text, "=")
		if !ok || !isKey(key) {
			return fields, text
		}
		if !strings.HasPrefix(value, `"`) {
			fields[key], text, _ = strings.Cut(value, " ")
			continue
		}
		quoted, err := strconv.QuotedPrefix(value)
		if err != nil {
			return fields, text
		}
		fields[key], _ = strconv.Unquote(quoted) // QuotedPrefix has checked it
		text = value[len(quoted):]
	}
	return fields, ""
}

func isKey(word string) bool {
	return word != "" && !strings.ContainsAny(word, " \t\"")
}

// foreign finds the beginning of what the kernel, Xen or a guest's console says on the same
// serial line, at times in the middle of a line of init's.
var foreign = regexp.MustCompile(`\[ *\d+\.\d{6}\] |\((?:XEN|d\d+)\) `)

// IsForeign says whether the whole of a line is the kernel's, Xen's or a guest's.
func IsForeign(text string) bool {
	at := foreign.FindStringIndex(text)
	return at != nil && at[0] == 0
}

// joiner finds events in a sequence of lines. A line of init's that a foreign message has torn
// apart is put together again with its tail, the next line that is nobody else's.
type joiner struct {
	torn   string
	tornAt time.Time
}

// add returns the events that line completes: none, one, or two when a torn event gets no tail.
func (j *joiner) add(line Line) []Event {
	if IsForeign(line.Text) {
		return nil
	}
	var events []Event
	emit := func(at time.Time, text string) {
		if e, ok := parseEvent(text); ok {
			e.At = at
			events = append(events, e)
		}
	}
	if j.torn != "" {
		if eventStart.MatchString(line.Text) {
			emit(j.tornAt, j.torn)
		} else {
			line = Line{At: j.tornAt, Text: j.torn + line.Text}
		}
		j.torn = ""
	}
	if at := foreign.FindStringIndex(line.Text); at != nil && eventStart.MatchString(line.Text[:at[0]]) {
		j.torn, j.tornAt = line.Text[:at[0]], line.At
		return events
	}
	emit(line.At, line.Text)
	return events
}
