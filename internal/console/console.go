// Package console writes to every console of the machine at once: the serial line and the screen
// show the same report, whichever of them the person sits at.
package console

import (
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
)

// Consoles are the open console devices, fanned out to by Write. A console that fails (a serial
// port that is not there) is skipped from then on.
type Consoles struct {
	mu   sync.Mutex
	outs []io.Writer
}

// Open opens the console devices named, skipping what cannot be opened.
func Open(names []string) *Consoles {
	c := &Consoles{}
	for _, name := range names {
		if f, err := os.OpenFile("/dev/"+name, os.O_WRONLY|noctty, 0); err == nil {
			c.outs = append(c.outs, f)
		}
	}
	return c
}

// New returns Consoles over writers.
func New(outs ...io.Writer) *Consoles { return &Consoles{outs: outs} }

// Add adds one more writer, a log file say.
func (c *Consoles) Add(w io.Writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outs = append(c.outs, w)
}

// Write writes p to every console. It never fails: a report has no better place to complain.
func (c *Consoles) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outs = slices.DeleteFunc(c.outs, func(w io.Writer) bool {
		_, err := w.Write(p)
		return err != nil
	})
	return len(p), nil
}

// Active parses /sys/class/tty/console/active: the kernel's consoles, space separated, the
// preferred one last. tty0 is the foreground screen; a shell needs a terminal of its own, so it
// is named tty1.
func Active(text string) []string {
	names := strings.Fields(text)
	for i, name := range names {
		if name == "tty0" {
			names[i] = "tty1"
		}
	}
	return slices.Compact(names)
}

// Logger returns the logger whose lines are the interface of docs/console.md: logfmt without a
// time stamp (each line that measures something carries ms=).
func Logger(w io.Writer, level slog.Leveler) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == "remedy" && a.Value.String() == "") {
				return slog.Attr{}
			}
			return a
		},
	}))
}
