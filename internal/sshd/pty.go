package sshd

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal, pty(7).
type terminal struct {
	master *os.File
	slave  *os.File
	name   string // of the slave: "/dev/pts/3"
	kind   string // TERM
}

// openTerminal makes a pseudo-terminal.
func openTerminal() (*terminal, error) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("make a terminal: %w", err)
	}
	t := &terminal{master: master}
	var number int
	err = t.control(func(fd int) error {
		n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
		number = n
		return errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	})
	if err == nil {
		t.name = fmt.Sprintf("/dev/pts/%d", number)
		t.slave, err = os.OpenFile(t.name, os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a terminal: %w", err), master.Close())
	}
	return t, nil
}

// control calls do with the master's file descriptor, which stays one that can be waited for.
func (t *terminal) control(do func(fd int) error) error {
	raw, err := t.master.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	err = raw.Control(func(fd uintptr) { failure = do(int(fd)) })
	return errors.Join(err, failure)
}

// resize tells the programs on the terminal how large it is.
func (t *terminal) resize(s size) error {
	return t.control(func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{
			Row: clamp(s.Rows), Col: clamp(s.Columns), Xpixel: clamp(s.Width), Ypixel: clamp(s.Height),
		})
	})
}

func clamp(n uint32) uint16 { return uint16(min(n, 1<<16-1)) }

// close hangs up: what runs on the terminal gets SIGHUP.
func (t *terminal) close() {
	_ = t.master.Close()
	_ = t.slave.Close()
}

// size is that of a terminal, in characters and pixels (RFC 4254, 6.7).
type size struct{ Columns, Rows, Width, Height uint32 }

// ptyRequest is RFC 4254, 6.2.
type ptyRequest struct {
	Term          string
	Columns, Rows uint32
	Width, Height uint32
	Modes         string
}

// maxTerm bounds the name of a terminal's type.
const maxTerm = 64

// newTerminal makes the terminal that a client asks for. Its modes are not looked at: those of a new terminal are what
// programs expect.
func newTerminal(payload []byte) (*terminal, error) {
	var r ptyRequest
	if err := ssh.Unmarshal(payload, &r); err != nil {
		return nil, err
	}
	t, err := openTerminal()
	if err != nil {
		return nil, err
	}
	if t.kind = r.Term; !plain(r.Term, maxTerm) {
		t.kind = "vt102"
	}
	if err := t.resize(size{Columns: r.Columns, Rows: r.Rows, Width: r.Width, Height: r.Height}); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// plain says whether a text has 1 to limit printable ASCII characters.
func plain(text string, limit int) bool {
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return text != "" && len(text) <= limit
}
