package guests

import (
	"errors"
	"fmt"
	"strings"
)

// Pos is a place in a configuration file. Both numbers count from 1; the column counts bytes.
// The zero Pos means the file as a whole.
type Pos struct {
	Line, Col int
}

// Error is what is wrong with a guest and what a person can do about it. Every error that this
// package returns for a guest is one.
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

// asError gives err the guest it belongs to. An error of another kind becomes an *Error about
// file.
func asError(err error, guest, file string) *Error {
	var known *Error
	if !errors.As(err, &known) {
		known = &Error{File: file, Problem: err.Error(), Remedy: "check that it can be read", Err: err}
	}
	if known.Guest == "" {
		known.Guest = guest
	}
	return known
}
