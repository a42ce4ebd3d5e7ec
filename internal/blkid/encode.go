package blkid

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Encode makes a text fit for a file's name, as blkid and udev do: letters, digits, "#+-.:=@_" and well-formed UTF-8
// stand for themselves, every other byte becomes \xNN.
func Encode(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		n := utf8Length(text)
		switch {
		case n > 1 || n == 1 && plain(text[0]):
			b.WriteString(text[:max(n, 1)])
		default:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		}
		text = text[max(n, 1):]
	}
	return b.String()
}

// Safe makes a text readable that a property has as a value besides the encoded one, as blkid does: white space becomes
// one "_", and so does each byte that is neither printable nor well-formed UTF-8.
func Safe(text string) string {
	text = strings.Join(strings.FieldsFunc(text, isSpace), "_")
	var b strings.Builder
	for len(text) > 0 {
		n := utf8Length(text)
		if n > 1 || n == 1 && text[0] > ' ' && text[0] <= '~' {
			b.WriteString(text[:n])
		} else {
			b.WriteByte('_')
		}
		text = text[max(n, 1):]
	}
	return b.String()
}

func plain(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || strings.IndexByte("#+-.:=@_", c) >= 0
}

func isSpace(r rune) bool { return strings.ContainsRune(" \t\n\v\f\r", r) }

// utf8Length is how many bytes the well-formed character has that text begins with, 0 where there is none. What
// Unicode says is no character (U+FDD0 to U+FDEF, U+FFFF and its like) is none for udev either.
func utf8Length(text string) int {
	r, n := utf8.DecodeRuneInString(text)
	if r == utf8.RuneError && n <= 1 || r >= 0xfdd0 && r <= 0xfdef || r&0xffff == 0xffff {
		return 0
	}
	return n
}
