package disc

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// redraw is how often a percentage is drawn anew on a terminal.
const redraw = 100 * time.Millisecond

// progress tells a person what the build is doing: one line that changes on a terminal, a line a
// step elsewhere.
type progress struct {
	out      io.Writer
	terminal bool
	start    time.Time

	mu   sync.Mutex
	last string
	when time.Time
	open bool // a line without its end is on the terminal
}

func newProgress(out io.Writer) *progress {
	f, ok := out.(*os.File)
	return &progress{out: out, terminal: ok && term.IsTerminal(int(f.Fd())), start: time.Now()}
}

// step says what comes next.
func (p *progress) step(name string) {
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

// bytes says how far a step is.
func (p *progress) bytes(name string, done, total int64) {
	if name != p.current() {
		p.step(name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.terminal || total == 0 || time.Since(p.when) < redraw && done < total {
		return
	}
	p.when = time.Now()
	fmt.Fprintf(p.out, "\r%6.1fs  %s  %3d%% of %s", time.Since(p.start).Seconds(), name, done*100/total, megabytes(total))
	p.open = true
}

func (p *progress) current() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// done ends the line that is open.
func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endLine()
}

func (p *progress) endLine() {
	if p.open {
		fmt.Fprintln(p.out)
		p.open = false
	}
}

// megabytes writes a number of bytes as a person reads it.
func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
