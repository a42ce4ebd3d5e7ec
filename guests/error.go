package guests

import (
	"errors"
	"fmt"
	"strings"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// Pos is a place in a configuration file. Both numbers count from 1; the column counts bytes.
// The zero Pos means the file as a whole.
type Pos struct {
	Line, Col int
}

// Error is what is wrong with a guest and what a person can do about it. Every error that this
// package returns for a guest is one. Its texts are printable: configurations, and the names of their
// files, come from anybody.
type Error struct {
	Guest   string // the guest's name, or its directory's where no name could be read
	File    string // the configuration file, or the directory when there is none
	Pos            // zero when the problem has no single place
	Problem string // what is wrong, without a full stop
	Remedy  string // what to do about it
	Err     error  // the cause, if there is one below this package
}

// Error renders FILE:LINE:COL: PROBLEM; REMEDY.
func (e *Error) Error() string {
	var text strings.Builder
	text.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&text, ":%d:%d", e.Line, e.Col)
	}
	text.WriteString(": " + e.Problem)
	if e.Remedy != "" {
		text.WriteString("; " + e.Remedy)
	}
	return text.String()
}

// Unwrap returns the cause, so that errors.Is(err, fs.ErrNotExist) and the like work.
func (e *Error) Unwrap() error { return e.Err }

// newError makes an error about a place in file, whose texts may hold anything.
func newError(file string, pos Pos, problem, remedy string, cause error) *Error {
	return &Error{File: printable.Line(file), Pos: pos,
		Problem: printable.Line(problem), Remedy: printable.Line(remedy), Err: cause}
}

// asError gives err the guest it belongs to. An error of another kind becomes an *Error about
// file.
func asError(err error, guest, file string) *Error {
	var known *Error
	if !errors.As(err, &known) {
		known = newError(file, Pos{}, err.Error(), "check that it can be read", err)
	}
	if known.Guest == "" {
		known.Guest = printable.Line(guest)
	}
	return known
}
