package vt

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// Filter passes on what a guest may do to its own screen, and nothing else: the kernel's terminal (console_codes(4))
// also has sequences that switch to another screen, beep, set the keyboard's lights and the time after which the screen
// goes dark, change the colours, or answer, by typing into whatever has the screen then. Characters are passed on as
// valid UTF-8. What a Filter appends for one call never ends in the middle of a character or a sequence.
type Filter struct {
	state state
	held  []byte // the beginning of a character, or what followed "\x1b[" so far
	skip  int    // bytes still to leave out, of leaving
}

type state int

const (
	ground   state = iota
	escape         // after ESC
	charset        // after ESC ( or ESC ), which held has
	sequence       // after ESC [
	command        // after ESC ]
	text           // in a string that a terminal is to interpret, until its end
	leaving        // leaves out the next bytes
)

// Control characters (ECMA-48).
const (
	bel, so, si, can, sub, esc, del = 0x07, 0x0e, 0x0f, 0x18, 0x1a, 0x1b, 0x7f
)

// maxSequence bounds the parameters of a sequence, bytes.
const maxSequence = 64

// Append appends to what may pass of p.
func (f *Filter) Append(to, p []byte) []byte {
	for _, c := range p {
		to = f.next(to, c)
	}
	return to
}

func (f *Filter) next(to []byte, c byte) []byte {
	if f.state == ground {
		return f.character(to, c)
	}
	switch {
	case c == esc:
		f.enter(escape)
		return to
	case c == can || c == sub:
		f.enter(ground)
		return to
	}
	switch f.state {
	case escape:
		return f.escaped(to, c)
	case charset:
		to = f.setCharset(to, c)
		f.enter(ground)
	case sequence:
		return f.sequence(to, c)
	case command:
		f.enter(text)
		switch c {
		case 'P':
			f.leave(7) // a colour: P n rr gg bb
		case 'R':
			f.enter(ground)
		}
	case text:
		if c < ' ' { // where the end was forgotten, the next line ends it as well
			f.enter(ground)
			if c != bel {
				return f.character(to, c)
			}
		}
	case leaving:
		if f.skip--; f.skip == 0 {
			f.enter(ground)
		}
	}
	return to
}

func (f *Filter) enter(s state) { f.state, f.held = s, f.held[:0] }

func (f *Filter) leave(bytes int) {
	f.enter(leaving)
	f.skip = bytes
}

// character takes one byte of plain text.
func (f *Filter) character(to []byte, c byte) []byte {
	f.held = append(f.held, c)
	for len(f.held) > 0 && utf8.FullRune(f.held) {
		r, size := utf8.DecodeRune(f.held)
		whole := f.held[:size]
		switch {
		case r == esc:
			f.enter(escape)
			return to
		case r == utf8.RuneError && size == 1:
			to = append(to, '?')
		case r >= 0xa0 || r >= ' ' && r < del || strings.ContainsRune("\b\t\n\v\f\r\x0e\x0f", r):
			to = append(to, whole...) // but no C1: the kernel takes U+009B for the beginning of a sequence
		}
		f.held = f.held[:copy(f.held, f.held[size:])]
	}
	return to
}

// escaped takes what follows ESC.
func (f *Filter) escaped(to []byte, c byte) []byte {
	switch c {
	case '[':
		f.enter(sequence)
	case ']':
		f.enter(command)
	case 'P', 'X', '^', '_':
		f.enter(text)
	case '(', ')':
		f.enter(charset)
		f.held = append(f.held, c)
	case '*', '+', '%', '#', ' ':
		f.leave(1)
	case 'D', 'E', 'H', 'M', '7', '8', 'c', '=', '>':
		f.enter(ground)
		return append(to, esc, c)
	default:
		f.enter(ground)
	}
	return to
}

// setCharset passes on the choice of the usual characters, and of those for lines.
func (f *Filter) setCharset(to []byte, c byte) []byte {
	if c == 'B' || c == '0' {
		return append(to, esc, f.held[0], c)
	}
	return to
}

// sequence takes what follows "ESC [".
func (f *Filter) sequence(to []byte, c byte) []byte {
	switch {
	case c == '[' && len(f.held) == 0:
		f.leave(1) // a function key, echoed
	case c >= '@' && c < del:
		if parameters, passes := passing(f.held, c); passes {
			to = append(to, esc, '[')
			to = append(append(to, parameters...), c)
		}
		f.enter(ground)
	case c >= ' ' && c < '@' && len(f.held) < maxSequence:
		f.held = append(f.held, c)
	case c >= ' ':
		f.enter(text) // too long, or no sequence: what follows is left out, until the next line at last
	}
	return to
}

// plain are the sequences that pass with any numbers: cursor movements, erasing, inserting, deleting, attributes, tab
// stops, the scrolled region, and saving the cursor.
const plain = "@ABCDEFGHJKLMPXadefgmrsu`"

// modes are those that a guest may set and reset with "h" and "l", by their prefix: insert; cursor keys, reverse
// screen, origin, wrap, and the cursor's sight.
var modes = map[string][]string{"": {"4"}, "?": {"1", "5", "6", "7", "25"}}

// passing returns the parameters of a sequence that may pass.
func passing(parameters []byte, final byte) ([]byte, bool) {
	if final == 'h' || final == 'l' {
		return passingModes(parameters)
	}
	digits := 0
	for _, c := range parameters {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c == ';' || c == ':' && final == 'm':
			digits = 0
		default:
			return nil, false
		}
		if digits > 5 {
			return nil, false
		}
	}
	return parameters, strings.IndexByte(plain, final) >= 0
}

func passingModes(parameters []byte) ([]byte, bool) {
	numbers, private := bytes.CutPrefix(parameters, []byte("?"))
	prefix := ""
	if private {
		prefix = "?"
	}
	var passing []string
	for number := range strings.SplitSeq(string(numbers), ";") {
		for _, mode := range modes[prefix] {
			if number == mode {
				passing = append(passing, number)
			}
		}
	}
	return []byte(prefix + strings.Join(passing, ";")), len(passing) > 0
}
