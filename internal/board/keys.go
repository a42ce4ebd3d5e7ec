package board

import "unicode/utf8"

// Key is a key: a character, or one of the negative values below.
type Key rune

// Keys that are no characters.
const (
	KeyUp Key = -1 - iota
	KeyDown
	KeyPageUp
	KeyPageDown
	KeyF1
	KeyF10
	KeyEnter
	keyOther // one that nothing is bound to
)

// sequences are what terminals send for keys: the kernel's own, VT100 in both cursor modes, xterm.
var sequences = map[string]Key{
	"\x1b[A": KeyUp, "\x1bOA": KeyUp, "\x1b[B": KeyDown, "\x1bOB": KeyDown,
	"\x1b[5~": KeyPageUp, "\x1b[6~": KeyPageDown,
	"\x1b[[A": KeyF1, "\x1bOP": KeyF1, "\x1b[11~": KeyF1, "\x1b[21~": KeyF10,
	"\r": KeyEnter, "\n": KeyEnter,
}

// maxSequence bounds what is waited for as the rest of a sequence.
const maxSequence = 12

// cutKey takes the first key from what a terminal has sent. n is how many bytes it has, 0 when the rest of it is still
// to come. A sequence that is known for no key is one key that does nothing, so that its letters are not taken for
// orders.
func cutKey(sent []byte) (key Key, n int) {
	if len(sent) == 0 {
		return 0, 0
	}
	if sent[0] != 0x1b {
		if key, ok := sequences[string(sent[:1])]; ok {
			return key, 1
		}
		if !utf8.FullRune(sent) {
			return 0, 0
		}
		r, n := utf8.DecodeRune(sent)
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return keyOther, n
		}
		return Key(r), n
	}
	n = sequenceLength(sent)
	if n == 0 {
		return 0, 0
	}
	if key, ok := sequences[string(sent[:n])]; ok {
		return key, n
	}
	return keyOther, n
}

// sequenceLength is how long the escape sequence is that sent begins with, 0 while it is not whole (ECMA-48, 5.4; SS3;
// the kernel's own "ESC [ [" of function keys).
func sequenceLength(sent []byte) int {
	if len(sent) < 2 {
		return 0
	}
	at := 2
	switch sent[1] {
	case 'O':
		at = 3
	case '[':
		if len(sent) > 2 && sent[2] == '[' {
			at = 4
			break
		}
		for at < len(sent) && at < maxSequence && (sent[at] < 0x40 || sent[at] > 0x7e) {
			at++
		}
		at++
	}
	if at > len(sent) {
		return 0
	}
	return at
}
