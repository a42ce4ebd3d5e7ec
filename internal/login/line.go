package login

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// hiddenLine is a terminal on which what is typed is not shown, from before the first question until the last answer
// was weighed: in the pauses between them somebody types as well.
type hiddenLine struct {
	terminal string // its name below /dev
	tty      *os.File
	before   *unix.Termios // its settings
}

// hide turns echo off on the terminal /dev/NAME until end, and throws away what was typed before.
func hide(terminal string) (*hiddenLine, error) {
	tty, err := os.OpenFile("/dev/"+terminal, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	l := &hiddenLine{terminal: terminal, tty: tty}
	failure := control(tty, func(fd int) { l.before, err = unix.IoctlGetTermios(fd, unix.TCGETS) })
	if err := errors.Join(failure, err); err != nil {
		return nil, errors.Join(err, tty.Close())
	}
	hidden := *l.before
	hidden.Lflag = hidden.Lflag&^unix.ECHO | unix.ICANON | unix.ISIG
	hidden.Iflag |= unix.ICRNL
	if err := setTermios(tty, &hidden); err != nil {
		return nil, errors.Join(err, tty.Close())
	}
	l.flush()
	return l, nil
}

// end turns echo on again. Unless the password was right, what was typed and not read may be a part of it: the next
// program on the terminal must not read it.
func (l *hiddenLine) end(right bool) {
	if !right {
		l.flush()
	}
	_ = setTermios(l.tty, l.before)
	_ = l.tty.Close()
}

// read reads a line. Its end, by Ctrl-D or because the terminal was hung up, is an error.
func (l *hiddenLine) read(prompt string) ([]byte, error) {
	fmt.Fprint(l.tty, prompt)
	line, err := bufio.NewReaderSize(l.tty, 4096).ReadSlice('\n') // no terminal has longer lines, N_TTY_BUF_SIZE
	fmt.Fprintln(l.tty)
	return bytes.Clone(bytes.TrimRight(line, "\r\n")), err
}

// flush throws away what was typed and not read.
func (l *hiddenLine) flush() {
	_ = control(l.tty, func(fd int) { _ = unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIFLUSH) })
}

// setTermios changes a terminal's settings at once: output that waits on a terminal that is stopped may wait for ever.
func setTermios(tty *os.File, settings *unix.Termios) (err error) {
	failure := control(tty, func(fd int) { err = unix.IoctlSetTermios(fd, unix.TCSETS, settings) })
	return errors.Join(failure, err)
}

// control calls do with the file's descriptor, which stays one that can have a deadline.
func control(file *os.File, do func(fd int)) error {
	connection, err := file.SyscallConn()
	if err != nil {
		return err
	}
	return connection.Control(func(fd uintptr) { do(int(fd)) })
}
