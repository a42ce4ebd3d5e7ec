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
//
// A device that somebody has taken (Take) gets its lines once it is given back.
type Consoles struct {
	dir  string // of the files by which devices are taken
	mu   sync.Mutex
	outs []*output
	ours bool // nobody can take a console any more
}

// Open opens the console devices named, skipping what cannot be opened. They are taken by files in dir.
func Open(dir string, names []string) *Consoles {
	c := &Consoles{dir: dir}
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
	f, err := openDevice(name)
	if err != nil {
		return
	}
	o := &output{w: f, device: name}
	if lock, err := openLock(c.dir, f); err == nil { // else lines are written across views
		o.held.lock = lock
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outs = append(c.outs, o)
}

// Write writes p, whole lines, to every console. It never fails: a report has no better place to
// complain.
func (c *Consoles) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outs = slices.DeleteFunc(c.outs, func(o *output) bool { return !c.put(o, p) })
	return len(p), nil
}

// put writes a line to a console, now or later, and says whether to keep the console.
func (c *Consoles) put(o *output, line []byte) bool {
	if !c.ours && !o.held.isFree() {
		o.held.add(line)
		if !o.held.waiting {
			o.held.waiting = true
			go c.writeLater(o)
		}
		return true
	}
	defer o.held.release()
	return o.put(line)
}

// writeLater writes what a console was to get while somebody had it.
func (c *Consoles) writeLater(o *output) {
	o.held.wait()
	for c.writeNext(o) { // without the mutex in between: whoever logs goes on
	}
}

// writeNext writes the oldest line that was held back, and says whether there was one.
func (c *Consoles) writeNext(o *output) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	line := o.held.next()
	if line == nil {
		o.held.waiting = false
		o.held.release()
		return false
	}
	o.put(line)
	return true
}

// Reclaim has all lines written at once from now on, those first that were held back: the machine ends, and no view
// lasts longer.
func (c *Consoles) Reclaim() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ours = true
	for _, o := range c.outs {
		for line := o.held.next(); line != nil; line = o.held.next() {
			o.put(line)
		}
	}
}

// output is one console. The mutex of Consoles guards it.
type output struct {
	w       io.Writer
	device  string // "" for what is no console device
	stopped bool   // it did not take the last line in time
	rest    []byte // of a line that it took only the beginning of
	held    held
}

// put writes a line, and says whether the output can be used any longer.
func (o *output) put(line []byte) bool { return o.write(line) == nil || o.reopen(line) }

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
