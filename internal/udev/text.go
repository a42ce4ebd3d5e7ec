package udev

import (
	"strings"
	"unicode/utf8"
)

// name makes a text from a device fit for a part of a link's name, as udev does with vendors, models and serial
// numbers: white space at its ends goes, a run of it within becomes "_", and so does every character that is not
// allowed.
func name(text string) string {
	return replaceChars(strings.Join(strings.FieldsFunc(text, isSpace), "_"), "")
}

func isSpace(r rune) bool { return strings.ContainsRune(" \t\n\v\f\r", r) }

// replaceChars makes "_" of every byte that is neither a letter, a digit, one of "#+-.:=@_" or of allow, nor part of a
// well-formed character of UTF-8. An escaped character, \x20, stays.
func replaceChars(text, allow string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		switch {
		case strings.HasPrefix(text, `\x`):
			n = 2
			b.WriteString(`\x`)
		case r == utf8.RuneError && n <= 1, n == 1 && !allowed(text[0], allow):
			b.WriteByte('_')
		default:
			b.WriteString(text[:n])
		}
		text = text[n:]
	}
	return b.String()
}

func allowed(c byte, more string) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' ||
		strings.IndexByte("#+-.:=@_", c) >= 0 || strings.IndexByte(more, c) >= 0
}

// value makes a text from a device fit for a property: one line without control characters. It is not for names.
func value(text string) string { return replaceChars(strings.TrimRightFunc(text, isSpace), "/ $%?,") }
