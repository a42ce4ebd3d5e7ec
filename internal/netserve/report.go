package netserve

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/zerodisc/zerodisc/internal/bytesize"
	"github.com/zerodisc/zerodisc/internal/printable"
)

// reporter writes one line an event, from many goroutines.
type reporter struct {
	mu  sync.Mutex
	out io.Writer
	now func() time.Time
}

func newReporter(out io.Writer) *reporter { return &reporter{out: out, now: time.Now} }

// event writes a line: when, who, by which protocol, what.
func (r *reporter) event(who, protocol, format string, args ...any) {
	said := fmt.Sprintf(format, args...)
	line := fmt.Sprintf("%s  %-17s  %-4s  %s\n", r.now().Format(time.TimeOnly), who, protocol, said)
	r.print(line)
}

func (r *reporter) print(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	io.WriteString(r.out, text)
}

// fetch is a client's reading of one file.
type fetch struct {
	name    string // as the client wrote it
	sent    int64  // bytes
	size    int64  // bytes that it would have been; negative: not known
	elapsed time.Duration
	err     error // nil: the client has all of it
}

// String says how it went.
func (f fetch) String() string {
	name := printable.Line(f.name)
	switch {
	case f.err != nil && f.size < 0:
		return fmt.Sprintf("%s not sent: %v", name, f.err)
	case f.err != nil:
		return fmt.Sprintf("%s not complete, %s of %s: %v", name, bytesize.Text(f.sent), bytesize.Text(f.size), f.err)
	}
	amount := bytesize.Text(f.sent)
	if f.sent < f.size {
		amount += " of " + bytesize.Text(f.size) // a range
	}
	return fmt.Sprintf("%s  %s in %s, %s", name, amount, seconds(f.elapsed), rate(f.sent, f.elapsed))
}

func seconds(d time.Duration) string {
	if d < 100*time.Millisecond {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func rate(n int64, d time.Duration) string {
	return fmt.Sprintf("%.1f MB/s", float64(n)/1e6/max(d, time.Microsecond).Seconds())
}
