// Package console writes to every console of the machine at once: the serial line and the screen
// show the same report, whichever of them the person sits at.
package console

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// How long a write may wait for a console to take a line, and how long for one that did not take
// the last. Scroll Lock or Ctrl-S stop a console for as long as a person likes, and whoever logs
// must go on, a poweroff not least.
const (
	patience        = time.Second
	stoppedPatience = time.Millisecond
)

// Consoles are the open console devices, fanned out to by Write. A device that fails is opened anew
// for the next line: when a shell exits, the kernel hangs up whatever else has its terminal open. One
// that is stopped misses lines. Any other writer that fails is skipped from then on.
type Consoles struct {
	mu   sync.Mutex
	outs []*output
}

// Open opens the console devices named, skipping what cannot be opened.
func Open(names []string) *Consoles {
	c := &Consoles{}
	for _, name := range names {
		c.AddDevice(name)
	}
	return c
}

func openDevice(name string) (*os.File, error) {
	return os.OpenFile("/dev/"+name, os.O_WRONLY|noctty, 0)
}

// New returns Consoles over writers.
func New(outs ...io.Writer) *Consoles {
	c := &Consoles{}
	for _, w := range outs {
		c.Add(w)
	}
	return c
}

// Add adds one more writer, a log file say.
func (c *Consoles) Add(w io.Writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outs = append(c.outs, &output{w: w})
}

// AddDevice adds one more console device, if it can be opened.
func (c *Consoles) AddDevice(name string) {
	if f, err := openDevice(name); err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.outs = append(c.outs, &output{w: f, device: name})
	}
}

// Write writes p, whole lines, to every console. It never fails: a report has no better place to
// complain.
func (c *Consoles) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outs = slices.DeleteFunc(c.outs, func(o *output) bool { return o.write(p) != nil && !o.reopen(p) })
	return len(p), nil
}

// output is one console. The mutex of Consoles guards it.
type output struct {
	w       io.Writer
	device  string // "" for what is no console device
	stopped bool   // it did not take the last line in time
	rest    []byte // of a line that it took only the beginning of
}

// write writes a line, or skips it when the console is stopped. A line that has begun is ended
// before the next, so that no two are run together.
func (o *output) write(line []byte) error {
	// The terminals that Open opens are in Go's poller, which makes them non-blocking. A file on
	// disk knows no deadlines (os.ErrNoDeadline), nor does it stop.
	if file, ok := o.w.(interface{ SetWriteDeadline(time.Time) error }); ok {
		wait := patience
		if o.stopped {
			wait = stoppedPatience
		}
		_ = file.SetWriteDeadline(time.Now().Add(wait))
	}
	begun := len(o.rest)
	text := slices.Concat(o.rest, line)
	n, err := o.w.Write(text)
	o.stopped = errors.Is(err, os.ErrDeadlineExceeded)
	if !o.stopped {
		o.rest = nil
		return err
	}
	if n <= begun {
		text = text[:begun] // nothing of the line is out
	}
	o.rest = text[n:]
	return nil
}

// reopen opens a device that failed and writes the line to it, and reports whether to keep it: a
// device that fails again may work for the next line.
func (o *output) reopen(line []byte) bool {
	if o.device == "" {
		return false
	}
	if f, err := openDevice(o.device); err == nil {
		_ = o.w.(io.Closer).Close()
		o.w, o.stopped, o.rest = f, false, nil
		_ = o.write(line)
	}
	return true
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
