package vt

import (
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/zerodisc/zerodisc/internal/guarded"
	"github.com/zerodisc/zerodisc/internal/guestconsole"
)

// screen is one of the kernel's terminals. Its goroutine is the only one that writes to it.
type screen struct {
	consoles *guestconsole.Hub
	mayType  func() bool
	tty      *os.File
	views    chan view // the newest, where the last was not fetched yet
	pieces   chan piece
	typed    chan []byte
}

// piece is something that a session has for the screen.
type piece struct {
	session *guestconsole.Session
	text    []byte
}

// openScreen opens a terminal, whose keys and bytes are to come and go as they are.
func openScreen(consoles *guestconsole.Hub, mayType func() bool, path string) (*screen, error) {
	tty, err := openRaw(path)
	if err != nil {
		return nil, err
	}
	return &screen{
		consoles: consoles, mayType: mayType, tty: tty,
		views: make(chan view, 1), pieces: make(chan piece), typed: make(chan []byte),
	}, nil
}

func openRaw(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	if _, err := term.MakeRaw(fd); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set terminal %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// show replaces what the screen is to show. One goroutine calls it.
func (s *screen) show(v view) {
	select {
	case <-s.views:
	default:
	}
	s.views <- v
}

// startOver resets the terminal (RIS), selects UTF-8 and erases what has scrolled off (console_codes(4)).
const startOver = "\x1bc\x1b%G\x1b[H\x1b[2J\x1b[3J"

// locked answers a key while the consoles wait for the password: it may come in the middle of a guest's line.
const locked = "\r\n-- locked: give the password on Alt-F1 --\r\n"

// run shows what it is told to until ctx ends.
func (s *screen) run(ctx context.Context) {
	defer s.tty.Close()
	guarded.Go(ctx, func() { s.readKeys(ctx) })
	var shown view
	var session *guestconsole.Session
	leave := func() {
		if session != nil {
			session.Close()
			session = nil
		}
	}
	defer leave()
	for {
		select {
		case next := <-s.views:
			if next == shown {
				continue
			}
			if next.uuid != shown.uuid || next.uuid == "" {
				leave()
				s.write(startOver)
			} else {
				s.write("\r\n")
			}
			s.write(heading(next))
			if next.uuid != "" && session == nil {
				session = s.follow(ctx, next.uuid)
			}
			shown = next
		case p := <-s.pieces:
			if p.session == session {
				s.write(string(p.text))
			}
		case keys := <-s.typed:
			switch {
			case !s.mayType():
				s.write(locked)
			case session != nil:
				_, _ = session.Write(keys) // a guest that does not read loses what is typed, as on a serial line
			}
		case <-ctx.Done():
			return
		}
	}
}

// heading is what a view says by itself. Names of guests are printable (package host).
func heading(v view) string {
	lines := v.title + "\n"
	if v.notice != "" {
		lines += "\n" + v.notice
	}
	return strings.ReplaceAll(lines, "\n", "\r\n")
}

// write writes to the terminal. Scroll Lock stops it for as long as a person likes; what comes meanwhile is in the
// guest's log.
func (s *screen) write(text string) { _, _ = s.tty.WriteString(text) }

// follow begins to send the screen what a guest says, from the oldest byte that is kept.
func (s *screen) follow(ctx context.Context, uuid string) *guestconsole.Session {
	session, err := s.consoles.Open(uuid, 0)
	if err != nil {
		return nil // forgotten a moment ago: the next view says so
	}
	guarded.Go(ctx, func() { s.pump(ctx, session) })
	return session
}

// pump sends the screen what a session reads, until it is closed. The pieces are small, because the kernel holds up
// its own messages while it writes one to the screen.
func (s *screen) pump(ctx context.Context, session *guestconsole.Session) {
	var filter Filter
	buffer := make([]byte, 1024)
	for {
		n, err := session.Read(buffer)
		if err != nil {
			return
		}
		var text []byte
		if lost := session.Lost(); lost > 0 {
			text = fmt.Appendf(text, "\r\n-- %d bytes are no longer kept --\r\n", lost)
			filter = Filter{}
		}
		select {
		case s.pieces <- piece{session, filter.Append(text, buffer[:n])}:
		case <-session.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

// readKeys sends what is typed to the screen's goroutine.
func (s *screen) readKeys(ctx context.Context) {
	buffer := make([]byte, 256)
	for {
		n, err := s.tty.Read(buffer)
		if err != nil {
			return
		}
		select {
		case s.typed <- append([]byte{}, buffer[:n]...):
		case <-ctx.Done():
			return
		}
	}
}
