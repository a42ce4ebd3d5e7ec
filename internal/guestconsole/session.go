package guestconsole

import (
	"os"
	"sync"
	"sync/atomic"
)

// FromNow opens a session that begins with what the guest says next.
const FromNow = -1

// Session is one reader of a guest's console, with a position of its own. It goes on through the guest's restarts.
// Close and Write may be called while Read waits.
type Session struct {
	record *record
	next   int64
	lost   atomic.Int64
	once   sync.Once
	closed chan struct{}
}

func newSession(r *record, from int64) *Session {
	if from < 0 {
		from = r.end()
	}
	return &Session{record: r, next: from, closed: make(chan struct{})}
}

// Read waits until the guest has said something that this session has not read yet. It returns io.EOF once the host
// has forgotten the guest, and os.ErrClosed after Close.
func (s *Session) Read(p []byte) (int, error) {
	for {
		n, at, more, err := s.record.read(p, s.next)
		s.lost.Add(at - min(s.next, at))
		s.next = at + int64(n)
		if n > 0 || len(p) == 0 || err != nil {
			return n, err
		}
		select {
		case <-more:
		case <-s.closed:
			return 0, os.ErrClosed
		}
	}
}

// Write types to the guest's present domain. ErrNoDomain and ErrBusy say why nobody gets it.
func (s *Session) Write(p []byte) (int, error) {
	select {
	case <-s.closed:
		return 0, os.ErrClosed
	default:
		return s.record.write(p)
	}
}

// Lost returns how many bytes Read has left out since Lost was called last: they were no longer kept when it came to
// them.
func (s *Session) Lost() int64 { return s.lost.Swap(0) }

// Done is closed by Close.
func (s *Session) Done() <-chan struct{} { return s.closed }

// Close ends the session.
func (s *Session) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}
