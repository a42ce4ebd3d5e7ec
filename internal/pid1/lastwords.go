package pid1

import (
	"bytes"
	"io"
	"strings"
	"sync"

	"github.com/zerodisc/zerodisc/internal/printable"
)

const (
	reportSize = 8 << 10 // bytes kept of stage2's standard error: a panic and its goroutine
	maxLine    = 2 << 10 // bytes of a line, which may have no end
	backlog    = 256     // lines that out may lag behind
)

// lastWords passes lines on and keeps the last of them, both as printable text: a panic may have in it
// what a guest or a medium said. It never waits for out, which is a console that a person can stop.
type lastWords struct {
	out chan []byte

	mu   sync.Mutex
	rest []byte // of a line without an end
	kept []byte
}

func newLastWords(out io.Writer) *lastWords {
	w := &lastWords{out: make(chan []byte, backlog)}
	if out == nil {
		out = io.Discard
	}
	go func() {
		for line := range w.out {
			_, _ = out.Write(line)
		}
	}()
	return w
}

// Write never fails.
func (w *lastWords) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = append(w.rest, p...)
	for {
		line, after, ended := bytes.Cut(w.rest, []byte{'\n'})
		if !ended && len(line) < maxLine {
			w.rest = bytes.Clone(line)
			return len(p), nil
		}
		if len(line) > maxLine {
			line, after = w.rest[:maxLine], w.rest[maxLine:]
		}
		w.add(printableLine(line))
		w.rest = after
	}
}

// add keeps a line and passes it on unless out is too far behind.
func (w *lastWords) add(line string) {
	w.kept = append(w.kept, line...)
	w.kept = append(w.kept, '\n')
	w.kept = w.kept[max(0, len(w.kept)-reportSize):]
	select {
	case w.out <- []byte(line + "\n"):
	default:
	}
}

// printableLine indents where Go's stack traces have tabs.
func printableLine(line []byte) string {
	text := strings.TrimSuffix(string(line), "\r")
	return printable.Line(strings.ReplaceAll(text, "\t", "    "))
}

// take returns what was kept, and keeps it no longer.
func (w *lastWords) take() string {
	text := w.String()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept, w.rest = nil, nil
	return text
}

// String is what was kept: lines of printable characters. It has no NUL, which no argument of a program
// may have.
func (w *lastWords) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := string(w.kept) + printableLine(w.rest)
	text = strings.ToValidUTF8(text[max(0, len(text)-reportSize):], "") // the cut may be inside a character
	return strings.TrimSpace(text)
}
