package supervise

import (
	"bytes"
	"io"
	"strings"
	"sync"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// maxLine bounds what is kept of a line without end, bytes.
const maxLine = 4096

// lines passes on a daemon's output line by line, each with a prefix and in one Write, so that
// the output of several daemons does not mix. What a guest has a daemon print must not reach a terminal as it is.
type lines struct {
	prefix string
	to     io.Writer

	mu      sync.Mutex
	pending []byte
}

// Write never fails: a daemon must not die of a full log.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for rest := p; len(rest) > 0; {
		line, after, ended := bytes.Cut(rest, []byte{'\n'})
		room := min(len(line), maxLine-len(l.pending))
		l.pending = append(l.pending, line[:room]...)
		if room < len(line) {
			l.emit()
			rest = rest[room:]
			continue
		}
		if ended {
			l.emit()
		}
		rest = after
	}
	return len(p), nil
}

// flush passes on a last line that has no end.
func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.emit()
}

func (l *lines) emit() {
	if len(l.pending) == 0 {
		return
	}
	line := l.prefix + printable.Line(strings.TrimRight(string(l.pending), "\r")) + "\n"
	_, _ = io.WriteString(l.to, line)
	l.pending = l.pending[:0]
}
