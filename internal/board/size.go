package board

import (
	"regexp"
	"strconv"
)

// size is a terminal's.
type size struct{ columns, rows int }

// askSize has a terminal say how large it is: the cursor goes as far as it can, and the terminal is asked where that is
// (ECMA-48, CUP and DSR). One that does not know this says nothing.
const askSize = "\x1b[999;999H\x1b[6n"

// sizePattern is the answer (CPR).
var sizePattern = regexp.MustCompile(`^\x1b\[([0-9]{1,3});([0-9]{1,3})R$`)

// parseSize reads a terminal's answer to askSize.
func parseSize(sequence []byte) (s size, ok bool) {
	found := sizePattern.FindSubmatch(sequence)
	if found == nil {
		return s, false
	}
	s.rows, _ = strconv.Atoi(string(found[1])) // digits
	s.columns, _ = strconv.Atoi(string(found[2]))
	return s, s.rows > 0 && s.columns > 0
}
