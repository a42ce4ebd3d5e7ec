// Package console understands what a zerodisc machine says on its serial line: firmware, GRUB,
// Xen, the dom0 kernel, init's logfmt lines and a shell, all mixed. It knows nothing of where the
// bytes come from.
package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Line is one line without its control sequences.
type Line struct {
	At   time.Time // arrival of its first byte
	Text string
}

// Mark is a place in a Log: what has been said before it and what after.
type Mark int

// Log collects a serial console. It is an io.Writer for the bytes as they arrive; any number of
// goroutines may wait for what they say.
type Log struct {
	mu      sync.Mutex
	clean   cleaner
	started time.Time // arrival of the first byte of the line that is not finished yet
	join    joiner
	lines   []Line
	events  []Event
	trouble *Trouble
	closed  error
	changed chan struct{} // closed, and replaced, at every change
}

// NewLog returns an empty Log.
func NewLog() *Log { return &Log{changed: make(chan struct{})} }

// Write takes the next bytes of the console. It never fails.
func (l *Log) Write(p []byte) (int, error) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range p {
		if len(l.clean.line) == 0 {
			l.started = now
		}
		if l.clean.feed(b) {
			l.add(l.partial())
			l.clean.reset()
		}
	}
	l.look(l.partial())
	l.wake()
	return len(p), nil
}

// Close tells the waiting that nothing more will come, and why.
func (l *Log) Close(reason error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = reason
	l.wake()
}

// wake lets every waiter look again.
func (l *Log) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// partial returns the line that is not finished yet.
func (l *Log) partial() Line {
	return Line{At: l.started, Text: strings.ToValidUTF8(string(l.clean.line), "?")}
}

// add files a finished line, less an empty one.
func (l *Log) add(line Line) {
	for _, event := range l.join.add(line) {
		event.line = len(l.lines)
		l.events = append(l.events, event)
	}
	if line.Text == "" {
		return
	}
	l.lines = append(l.lines, line)
	l.look(line)
}

// look looks for trouble in a line, finished or not: a shell that waits for a person ends none.
func (l *Log) look(line Line) {
	if l.trouble == nil {
		l.trouble = findTrouble(line.Text)
	}
}

// Mark returns the present end of the log.
func (l *Log) Mark() Mark {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Mark(len(l.lines))
}

// Since returns the lines after mark, the unfinished one included.
func (l *Log) Since(mark Mark) []Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.since(mark)
}

func (l *Log) since(mark Mark) []Line {
	lines := append([]Line(nil), l.lines[min(int(mark), len(l.lines)):]...)
	if len(l.clean.line) > 0 {
		lines = append(lines, l.partial())
	}
	return lines
}

// Tail returns the last n lines as text.
func (l *Log) Tail(n int) string {
	lines := l.Since(0)
	var text strings.Builder
	for _, line := range lines[max(0, len(lines)-n):] {
		text.WriteString(line.Text + "\n")
	}
	return text.String()
}

// Matches says whether re matches any line after mark so far.
func (l *Log) Matches(mark Mark, re *regexp.Regexp) bool {
	return slices.ContainsFunc(l.Since(mark), func(line Line) bool { return re.MatchString(line.Text) })
}

// Events returns the events after mark that answer query.
func (l *Log) Events(mark Mark, query Query) []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []Event
	for _, event := range l.events {
		if event.line >= int(mark) && query.Matches(event) {
			found = append(found, event)
		}
	}
	return found
}

// WaitEvent waits for the first event after mark that answers query.
func (l *Log) WaitEvent(ctx context.Context, mark Mark, query Query) (Event, error) {
	var found Event
	err := l.await(ctx, func() bool {
		for _, event := range l.events {
			if event.line >= int(mark) && query.Matches(event) {
				found = event
				return true
			}
		}
		return false
	})
	return found, err
}

// WaitLine waits for the first line after mark that re matches, finished or not.
func (l *Log) WaitLine(ctx context.Context, mark Mark, re *regexp.Regexp) (Line, error) {
	var found Line
	seen := int(mark) // finished lines that were looked at
	err := l.await(ctx, func() bool {
		for ; seen < len(l.lines); seen++ {
			if re.MatchString(l.lines[seen].Text) {
				found = l.lines[seen]
				return true
			}
		}
		found = l.partial()
		return len(l.clean.line) > 0 && re.MatchString(found.Text)
	})
	return found, err
}

// ErrDeadline says that the time for a wait is over.
var ErrDeadline = errors.New("not seen in time")

// await waits until done, called with the lock held after every change, says so. It fails at the
// end of ctx, of the console, or when somebody on the way has given up.
func (l *Log) await(ctx context.Context, done func() bool) error {
	for {
		l.mu.Lock()
		ok, trouble, closed, changed := done(), l.trouble, l.closed, l.changed
		l.mu.Unlock()
		switch {
		case ok:
			return nil
		case trouble != nil:
			return trouble
		case closed != nil:
			return fmt.Errorf("console ended: %w", closed)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ErrDeadline
		}
	}
}

var _ io.Writer = (*Log)(nil)
