package vm

import (
	"fmt"
	"regexp"
	"time"

	"github.com/zerodisc/zerodisc/test/vm/console"
)

// Deadlines for TCG; a healthy machine needs a fraction of each. Time in which the machine had no processor to run
// on does not count (see [qemu.Process.Within]).
const (
	bootLimit    = 240 * time.Second // init to ready
	addressLimit = 120 * time.Second // ready to a guest's address
	stopLimit    = 150 * time.Second // request to power off, with guests, to power off; after 60 s they are destroyed
	shellLimit   = 60 * time.Second  // a command in the shell
	soon         = 30 * time.Second  // an answer of a host that is up
)

// FromNow makes every later wait ignore what has been said so far.
func (m *VM) FromNow() *VM {
	m.mark = m.Console.Mark()
	return m
}

// FromStart is the machine for waits that take into account what was said before [VM.FromNow], too.
func (m *VM) FromStart() *VM {
	whole := *m
	whole.mark = 0
	return &whole
}

// Wait waits for a line of init's that has all keys and values of query, such as
// `msg="guest running" guest=tty1`.
func (m *VM) Wait(query string, limit time.Duration) console.Event {
	m.t.Helper()
	q := m.parse(query)
	ctx, cancel := m.Within(limit)
	defer cancel()
	event, err := m.Console.WaitEvent(ctx, m.mark, q)
	if err != nil {
		m.fail(fmt.Sprintf("wait %v for %s", limit, query), err)
	}
	return event
}

func (m *VM) parse(query string) console.Query {
	m.t.Helper()
	q, err := console.ParseQuery(query)
	if err != nil {
		m.t.Fatal(err)
	}
	return q
}

// WaitText waits for a line, finished or not, that the regular expression matches.
func (m *VM) WaitText(expression string, limit time.Duration) string {
	m.t.Helper()
	ctx, cancel := m.Within(limit)
	defer cancel()
	line, err := m.Console.WaitLine(ctx, m.mark, regexp.MustCompile(expression))
	if err != nil {
		m.fail(fmt.Sprintf("wait %v for /%s/", limit, expression), err)
	}
	return line.Text
}

// Said says whether a line matches the regular expression.
func (m *VM) Said(expression string) bool {
	return m.Console.Matches(m.mark, regexp.MustCompile(expression))
}

// Until asks every second until right says that it has what it wants.
func (m *VM) Until(what string, limit time.Duration, right func() bool) {
	m.t.Helper()
	ctx, cancel := m.Within(limit)
	defer cancel()
	for !right() {
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			m.fail(fmt.Sprintf("wait %v until %s", limit, what), console.ErrDeadline)
		}
	}
}

// WaitOff waits until the machine has switched itself off.
func (m *VM) WaitOff(limit time.Duration) {
	m.t.Helper()
	ctx, cancel := m.Within(limit)
	defer cancel()
	if err := m.Process.WaitOff(ctx); err != nil {
		m.fail(fmt.Sprintf("wait %v for power off", limit), err)
	}
}

// Once checks that exactly one line answers query so far.
func (m *VM) Once(query string) {
	m.t.Helper()
	if events := m.Console.Events(m.mark, m.parse(query)); len(events) != 1 {
		m.Errorf("%d lines with %s, want one", len(events), query)
	}
}
