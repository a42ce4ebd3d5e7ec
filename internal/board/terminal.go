package board

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
)

// Terminal is the terminal that a board is shown on.
type Terminal struct {
	device  string
	file    *os.File // nil while a program has the terminal
	before  unix.Termios
	keys    chan Key
	lost    chan *os.File // a file that cannot be read any more
	resized chan os.Signal
	answers chan size // of the terminal itself, where the kernel does not know its size
	said    size      // the last of them
	hold    func(*os.File) (give func())
	release func() // what hold has returned
}

// NewTerminal is the terminal with that device: "/dev/tty1", or "/dev/tty" for the one that this process was started
// on. It is opened anew each time it is taken, since the kernel hangs a terminal up for everybody when a session that
// had it ends. hold keeps others from writing to it until give is called.
func NewTerminal(device string, hold func(*os.File) (give func())) *Terminal {
	return &Terminal{
		device: device, keys: make(chan Key, 16), lost: make(chan *os.File), resized: make(chan os.Signal, 1),
		answers: make(chan size), hold: hold,
	}
}

// What a board's screen begins and ends with: the cursor is not shown, lines do not wrap, the screen is cleared. What a
// program before may have left is undone: a scrolling region, its origin, another character set.
const (
	beginScreen = "\x1b[?25l\x1b[?7l\x1b[r\x1b[?6l\x1b(B\x0f\x1b[m\x1b[2J"
	endScreen   = "\x1b[?7h\x1b[?25h\x1b[m\x1b[2J\x1b[H"
)

// take begins to use the terminal, whose keys come until give.
func (t *Terminal) take(ctx context.Context) error {
	file, err := os.OpenFile(t.device, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	err = control(file, func(fd int) error {
		before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			return err
		}
		t.before = *before
		return unix.IoctlSetTermios(fd, unix.TCSETS, raw(t.before))
	})
	if err != nil {
		return errors.Join(fmt.Errorf("set up terminal %s: %w", t.device, err), file.Close())
	}
	t.file, t.release = file, t.hold(file)
	signal.Notify(t.resized, unix.SIGWINCH)
	go t.read(ctx, file)
	if (t.known() == size{}) {
		_ = t.write([]byte(beginScreen + askSize)) // a terminal that is stopped counts as one of the least size
	}
	return nil
}

// give leaves the terminal as it was.
func (t *Terminal) give() {
	if t.file == nil {
		return
	}
	signal.Stop(t.resized)
	_ = t.write([]byte(endScreen))
	_ = control(t.file, func(fd int) error { return unix.IoctlSetTermios(fd, unix.TCSETS, &t.before) })
	_ = t.file.Close() // which ends read
	t.release()
	t.file = nil
}

// control calls do with the file's descriptor, which stays non-blocking.
func control(file *os.File, do func(fd int) error) error {
	connection, err := file.SyscallConn()
	if err != nil {
		return err
	}
	failure := connection.Control(func(fd uintptr) { err = do(int(fd)) })
	return errors.Join(failure, err)
}

// raw is settings like before, with which each key is read as it comes and none is shown or has an effect of its own
// (cfmakeraw(3)); what is written is still processed.
func raw(before unix.Termios) *unix.Termios {
	t := before
	t.Iflag &^= unix.BRKINT | unix.ICRNL | unix.INPCK | unix.ISTRIP | unix.IXON
	t.Lflag &^= unix.ECHO | unix.ICANON | unix.IEXTEN | unix.ISIG
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return &t
}

// sequencePause is how long the rest of a key's sequence may take: Escape alone begins one, too.
const sequencePause = 100 * time.Millisecond

// read sends keys until the file is closed.
func (t *Terminal) read(ctx context.Context, file *os.File) {
	var sent []byte
	part := make([]byte, 64)
	for {
		var deadline time.Time // none
		if len(sent) > 0 {
			deadline = time.Now().Add(sequencePause)
		}
		_ = file.SetReadDeadline(deadline)
		n, err := file.Read(part)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			sent = nil
		case err != nil:
			select {
			case t.lost <- file:
			case <-ctx.Done():
			}
			return
		}
		sent = append(sent, part[:n]...)
		for {
			key, n := cutKey(sent)
			if n == 0 {
				break
			}
			answer, isAnswer := parseSize(sent[:n])
			sent = sent[n:]
			if isAnswer {
				select {
				case t.answers <- answer:
				case <-ctx.Done():
				}
				continue
			}
			select {
			case t.keys <- key:
			case <-ctx.Done():
				return
			}
		}
	}
}

// size is the terminal's, the least one where nobody says.
func (t *Terminal) size() (columns, rows int) {
	for _, s := range []size{t.known(), t.said} {
		if (s != size{}) {
			return s.columns, s.rows
		}
	}
	return minColumns, minRows
}

// known is the size that the kernel knows, 0 by 0 of a serial line.
func (t *Terminal) known() (s size) {
	if t.file == nil {
		return s
	}
	_ = control(t.file, func(fd int) error {
		w, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
		if err == nil && w.Col > 0 && w.Row > 0 {
			s = size{int(w.Col), int(w.Row)}
		}
		return err
	})
	return s
}

// patience is how long the terminal may take for a screen. One that is stopped gets the newest later.
const patience = time.Second

// show writes the lines that differ from those that the terminal shows; where that is not known, shown is nil.
func (t *Terminal) show(shown, lines []string) error {
	var b bytes.Buffer
	if shown == nil {
		b.WriteString(beginScreen)
	}
	columns, _ := t.size()
	for i, line := range lines {
		if i >= len(shown) || shown[i] != line {
			fmt.Fprintf(&b, "\x1b[%d;1H%s%s", i+1, line, usual)
			if width(line) < columns { // else the cursor is still on the last character, which would be erased
				b.WriteString("\x1b[K")
			}
		}
	}
	if b.Len() == 0 {
		return nil
	}
	return t.write(b.Bytes())
}

// write writes to the terminal. The deadline of the write before is over.
func (t *Terminal) write(text []byte) error {
	_ = t.file.SetWriteDeadline(time.Now().Add(patience))
	_, err := t.file.Write(text)
	return err
}
