// Package progress tells a person what a long step is doing.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/zerodisc/zerodisc/internal/bytesize"
)

// redraw is how often a percentage is drawn anew on a terminal.
const redraw = 100 * time.Millisecond

// Progress is a display: one line that changes on a terminal, a line a step elsewhere.
type Progress struct {
	out      io.Writer
	terminal bool
	start    time.Time

	mu   sync.Mutex
	last string
	when time.Time
	open bool // a line without its end is on the terminal
}

// New shows progress on out.
func New(out io.Writer) *Progress {
	f, ok := out.(*os.File)
	return &Progress{out: out, terminal: ok && term.IsTerminal(int(f.Fd())), start: time.Now()}
}

// Step says what comes next.
func (p *Progress) Step(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endLine()
	p.last = name
	fmt.Fprintf(p.out, "%6.1fs  %s", time.Since(p.start).Seconds(), name)
	p.open = true
	if !p.terminal {
		p.endLine()
	}
}

// Note writes a line of its own.
func (p *Progress) Note(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endLine()
	fmt.Fprintln(p.out, line)
}

// Bytes says how far a step is.
func (p *Progress) Bytes(name string, done, total int64) {
	if name != p.current() {
		p.Step(name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.terminal || total == 0 || time.Since(p.when) < redraw && done < total {
		return
	}
	p.when = time.Now()
	fmt.Fprintf(p.out, "\r%6.1fs  %s  %3d%% of %s",
		time.Since(p.start).Seconds(), name, done*100/total, bytesize.Text(total))
	p.open = true
}

func (p *Progress) current() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// Done ends the line that is open.
func (p *Progress) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endLine()
}

func (p *Progress) endLine() {
	if p.open {
		fmt.Fprintln(p.out)
		p.open = false
	}
}
