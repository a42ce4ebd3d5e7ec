package console

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// heldLimit is how much is held back for a console that somebody has taken, bytes. Beyond it the oldest lines are left
// out.
const heldLimit = 64 << 10

// held are the lines of a console that wait for the end of a view. The mutex of Consoles guards it.
type held struct {
	lock    *os.File // nil: nobody can take the console
	waiting bool     // a goroutine waits for the lock, and writes the lines then
	lines   [][]byte
	size    int
	lost    int // lines that were left out
}

// isFree says whether a line may be written now. If so, the lock is held until release.
func (h *held) isFree() bool {
	return h.lock == nil || !h.waiting && flock(h.lock, unix.LOCK_EX|unix.LOCK_NB) != unix.EWOULDBLOCK
}

// wait waits until nobody has the console any more, and holds the lock then.
func (h *held) wait() { _ = flock(h.lock, unix.LOCK_EX) }

// release lets somebody take the console.
func (h *held) release() {
	if h.lock != nil {
		_ = flock(h.lock, unix.LOCK_UN)
	}
}

// add keeps a line for later.
func (h *held) add(line []byte) {
	h.lines, h.size = append(h.lines, bytes.Clone(line)), h.size+len(line)
	for h.size > heldLimit && len(h.lines) > 1 {
		h.size -= len(h.lines[0])
		h.lines, h.lost = h.lines[1:], h.lost+1
	}
}

// next is the oldest line, nil where none is left. Before it comes how many were left out.
func (h *held) next() []byte {
	if h.lost > 0 {
		lost := h.lost
		h.lost = 0
		return fmt.Appendf(nil, "level=WARN msg=\"lines left out\" count=%d\n", lost)
	}
	if len(h.lines) == 0 {
		h.lines, h.size = nil, 0
		return nil
	}
	line := h.lines[0]
	h.lines, h.size = h.lines[1:], h.size-len(line)
	return line
}
