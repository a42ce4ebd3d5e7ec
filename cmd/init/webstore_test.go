package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/internal/webstore"
)

// TestStoreLines holds the console lines to docs/console.md.
func TestStoreLines(t *testing.T) {
	b, out := board()
	d := &dom0{machine: machine{system: &system{log: b.log, report: b.report}}}
	tell := d.reportStore("http://a/guests/")
	for _, test := range []struct {
		event webstore.Event
		line  string
	}{
		{webstore.Event{State: webstore.Waiting, Err: errors.New("no route"), Remedy: "look"}, `level=WARN msg="guest store" url=http://a/guests/ state=waiting err="no route" remedy=look`},
		{webstore.Event{State: webstore.Found, Guests: 2}, `level=INFO msg="guest store" url=http://a/guests/ state=found guests=2`},
		{webstore.Event{State: webstore.Fetching, Guest: "web", Done: 70 << 20, Total: 200 << 20}, `state=fetching guest=web done=73400320 total=209715200`},
		{webstore.Event{State: webstore.Fetching, Guest: "web", Done: 1}, `state=fetching guest=web done=1` + "\n"},
		{webstore.Event{State: webstore.Finished, Guests: 1, Refused: 1, Took: time.Second}, `state=finished guests=1 refused=1 ms=1000`},
		{webstore.Event{State: webstore.Fetching, Quiet: true, Guest: "web", Done: 70 << 20, Total: 200 << 20}, ""},
	} {
		out.Reset()
		tell(test.event)
		if got := out.String(); !strings.Contains(got, test.line) || test.line == "" && got != "" {
			t.Errorf("%+v: line %q, want %q", test.event, got, test.line)
		}
	}
	if text := b.report.String(); !strings.Contains(text, "guests of http://a/guests/: fetching web, 70 of 200 MiB (35 %)") {
		t.Errorf("report:\n%s", text)
	}
}
