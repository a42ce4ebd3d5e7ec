// Package printable makes text from outside (guests, certificates, file names, what programs print) safe
// to show on a terminal. A raw escape sequence could clear the screen, rename the window or type on
// a root console; bidirectional marks could make a line read as another one.
package printable

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Line returns s as one line of printable characters. What is not printable (control characters, line
// breaks, invalid UTF-8, invisible and bidirectional marks) is written as Go escapes it in a string:
// "\x1b", "\n", "\u202e". Text that is printable comes back as it is, so that Line(Line(s)) is Line(s).
func Line(s string) string {
	if !needsEscape(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			b.WriteString(`\x`)
			const digits = "0123456789abcdef"
			b.WriteByte(digits[s[0]>>4])
			b.WriteByte(digits[s[0]&15])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[size:]
	}
	return b.String()
}

func needsEscape(s string) bool {
	for i, r := range s {
		if !strconv.IsPrint(r) || r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD") {
			return true
		}
	}
	return false
}
