package guestconsole

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"time"
)

// Errors of sessions.
var (
	ErrNoGuest  = errors.New("there is no such guest")
	ErrNoDomain = errors.New("the guest does not run: nobody reads what is typed")
	ErrBusy     = errors.New("the guest does not read what is typed")
)

// Domain says from which byte on a domain of a guest could speak.
type Domain struct {
	Domid  int
	Offset int64
}

// maxDomains is how many beginnings are kept of a guest that restarts all the time.
const maxDomains = 100

// record is what one guest has said, through all its domains, and where what is typed goes.
type record struct {
	mu      sync.Mutex // guards what follows
	ring    ring
	domains []Domain      // the oldest first
	lines   []*line       // of the guest's present domains; what is typed goes to the last
	more    chan struct{} // closed when there is more to read; nil while nobody waits
	gone    bool          // the host has forgotten the guest
	silent  time.Time     // when the last line ended
}

// append adds what the guest has said.
func (r *record) append(p []byte) {
	if len(p) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ring.append(p)
	r.wake()
}

// wake wakes all who wait for more. The caller holds mu.
func (r *record) wake() {
	if r.more != nil {
		close(r.more)
		r.more = nil
	}
}

// read copies what there is from byte number from on. Where there is nothing yet, more is closed when that changes.
func (r *record) read(p []byte, from int64) (n int, at int64, more <-chan struct{}, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, at = r.ring.read(p, from)
	switch {
	case n > 0 || len(p) == 0:
		return n, at, nil, nil
	case r.gone:
		return 0, at, nil, io.EOF
	}
	if r.more == nil {
		r.more = make(chan struct{})
	}
	return 0, at, r.more, nil
}

// text returns all that is kept, and the number of its first byte.
func (r *record) text() ([]byte, int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := make([]byte, len(r.ring.kept))
	_, at := r.ring.read(p, 0)
	return p, at
}

// end is the number of the next byte.
func (r *record) end() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ring.total
}

// screenful is about what a terminal of 80 by 25 shows, bytes.
const screenful = 2000

// lastScreen is the number of the byte at which the last screenful of a domain begins, which is the beginning of a line
// where there is one.
func (r *record) lastScreen(domid int) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := int64(0)
	for _, d := range r.domains {
		if d.Domid == domid {
			first = d.Offset
		}
	}
	p := make([]byte, screenful)
	n, at := r.ring.read(p, r.ring.total-screenful)
	if at <= first {
		return first
	}
	return at + int64(bytes.IndexByte(p[:n], '\n')+1)
}

// begin takes a line in. What is typed goes to the domain that came last, and there to its serial port, if it has one.
func (r *record) begin(l *line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := func(d Domain) bool { return d.Domid == l.domid }
	if !slices.ContainsFunc(r.domains, known) || len(r.lines) == 0 {
		r.domains = append(r.domains, Domain{l.domid, r.ring.total})
		r.domains = r.domains[max(0, len(r.domains)-maxDomains):]
	}
	at := len(r.lines)
	if at > 0 && r.lines[at-1].domid == l.domid && r.lines[at-1].node == SerialNode {
		at--
	}
	r.lines = slices.Insert(r.lines, at, l)
}

// leave takes a line out.
func (r *record) leave(l *line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = slices.DeleteFunc(r.lines, func(other *line) bool { return other == l })
	r.silent = time.Now()
}

// quiet says whether the guest has no domain that could speak, and since when.
func (r *record) quiet() (since time.Time, quiet bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.silent, len(r.lines) == 0
}

// drop ends all sessions once they have read what there is: nothing more will come.
func (r *record) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone = true
	r.wake()
}

// empty gives the memory of what was said back.
func (r *record) empty() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.lines) == 0 {
		r.ring.empty()
	}
}

// connect says where what is typed goes to on a line; nil: nowhere.
func (r *record) connect(l *line, to *os.File) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.input = to
}

// typing is the terminal that takes what is typed, nil where there is none.
func (r *record) typing() *os.File {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range slices.Backward(r.lines) {
		if l.input != nil {
			return l.input
		}
	}
	return nil
}

// typePatience is how long a guest may take to read what is typed. The terminal between has room for 18,048 bytes
// (measured), so that only a guest that does not read at all is waited for.
const typePatience = time.Second

// write types to the guest.
func (r *record) write(p []byte) (int, error) {
	to := r.typing()
	if to == nil {
		return 0, ErrNoDomain
	}
	_ = to.SetWriteDeadline(time.Now().Add(typePatience))
	n, err := to.Write(p)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, ErrBusy
	case err != nil:
		return n, ErrNoDomain // its terminal was hung up
	}
	return n, nil
}
