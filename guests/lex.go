package guests

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// The tokens of xl.cfg(5), as Xen 4.20's libxlu reads them.
type tokenKind int

const (
	tokenEnd tokenKind = iota
	tokenNewline
	tokenName
	tokenNumber
	tokenString
	tokenAssign    // =
	tokenAppend    // +=
	tokenSemicolon // ;
	tokenComma     // ,
	tokenOpen      // [
	tokenClose     // ]
)

// token is one token; text is a name, a number as written, or a string with escapes resolved.
type token struct {
	kind tokenKind
	text string
	pos  Pos
}

// String describes the token in a message.
func (t token) String() string {
	switch t.kind {
	case tokenEnd:
		return "the end of the file"
	case tokenNewline:
		return "the end of the line"
	case tokenString:
		return fmt.Sprintf("the string %q", t.text)
	}
	return fmt.Sprintf("%q", t.text)
}

// punctuation lists the tokens that always read the same.
var punctuation = []struct {
	text string
	kind tokenKind
}{
	{"+=", tokenAppend},
	{"=", tokenAssign},
	{";", tokenSemicolon},
	{",", tokenComma},
	{"[", tokenOpen},
	{"]", tokenClose},
	{"\n", tokenNewline},
}

// escapes are what libxlu makes of a backslash and a character. It also has \x and octal
// escapes, but reads neither correctly, so that no file that works can hold one.
var escapes = map[byte]byte{
	'\\': '\\', '"': '"', '\'': '\'',
	'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v',
}

// quoter puts a text into double quotes, the inverse of escapes as far as the grammar needs it.
type quoter struct{ *strings.Replacer }

var quote = quoter{strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`)}

func (q quoter) Replace(text string) string { return `"` + q.Replacer.Replace(text) + `"` }

// scanner cuts a file into tokens.
type scanner struct {
	config *Config // for messages
	rest   string  // what has not been read
	pos    Pos     // of rest's first byte
}

// next returns the next token; at the end of the file it returns tokenEnd for ever.
func (s *scanner) next() (token, error) {
	s.skipBlanks()
	start := s.pos
	if s.rest == "" {
		return token{tokenEnd, "", start}, nil
	}
	for _, p := range punctuation {
		if strings.HasPrefix(s.rest, p.text) {
			return token{p.kind, s.take(len(p.text)), start}, nil
		}
	}
	switch c := s.rest[0]; {
	case isLower(c):
		return token{tokenName, s.take(span(s.rest, isNameByte)), start}, nil
	case isDigit(c):
		return token{tokenNumber, s.take(span(s.rest, isNumberByte)), start}, nil
	case c == '\'' || c == '"':
		text, err := s.quoted(c)
		return token{tokenString, text, start}, err
	default:
		return token{}, s.unexpected()
	}
}

// skipBlanks skips spaces, comments and the carriage returns of files edited on Windows. xl
// itself stops at a carriage return and at a comment that no newline ends.
func (s *scanner) skipBlanks() {
	for s.rest != "" {
		switch s.rest[0] {
		case ' ', '\t', '\r':
			s.take(1)
		case '#':
			end := strings.IndexByte(s.rest, '\n')
			if end < 0 {
				end = len(s.rest)
			}
			s.take(end)
		default:
			return
		}
	}
}

// take consumes n bytes.
func (s *scanner) take(n int) string {
	taken := s.rest[:n]
	s.rest = s.rest[n:]
	if taken == "\n" {
		s.pos = Pos{s.pos.Line + 1, 1}
	} else {
		s.pos.Col += n
	}
	return taken
}

// quoted reads a string that starts at the quote character and ends on the same line.
func (s *scanner) quoted(quote byte) (string, error) {
	start := s.pos
	s.take(1)
	var text strings.Builder
	for s.rest != "" && s.rest[0] != '\n' {
		switch c := s.rest[0]; c {
		case quote:
			s.take(1)
			return text.String(), nil
		case '\\':
			c, err := s.escape()
			if err != nil {
				return "", err
			}
			text.WriteByte(c)
		case 0:
			return "", s.unexpected()
		default:
			text.WriteByte(c)
			s.take(1)
		}
	}
	return "", s.config.errorf(start, fmt.Sprintf("end it with %c on the same line", quote),
		"the string has no end")
}

// escape reads a backslash and the character after it.
func (s *scanner) escape() (byte, error) {
	if len(s.rest) > 1 {
		if c, ok := escapes[s.rest[1]]; ok {
			s.take(2)
			return c, nil
		}
	}
	return 0, s.config.errorf(s.pos,
		`write \\ for a backslash; \n, \t, \', \" and the like are known, \x.. and octal are not`,
		"a backslash with nothing known after it")
}

// unexpected explains a character that starts no token.
func (s *scanner) unexpected() error {
	c, size := utf8.DecodeRuneInString(s.rest)
	remedy := "remove it, or put the value in quotes"
	switch {
	case strings.ContainsRune("+-.():%", c):
		remedy = "put the value in quotes; Python code is not read, only NAME = VALUE"
	case 'A' <= c && c <= 'Z' || c == '_':
		remedy = "names start with a small letter and hold no capitals; put values in quotes"
	case strings.ContainsRune("‘’“”„`´", c):
		remedy = `write plain quotes, ' or "`
	case c == 0 || s.rest[0] >= 0xfe: // UTF-16's byte order mark has FE and FF, UTF-8 neither
		remedy = "save the file as plain text (UTF-8, not UTF-16)"
	}
	return s.config.errorf(s.pos, remedy, "unexpected character %q", s.rest[:size])
}

// span counts the leading bytes of text that belong.
func span(text string, belongs func(byte) bool) int {
	for i := range len(text) {
		if !belongs(text[i]) {
			return i
		}
	}
	return len(text)
}

func isLower(c byte) bool    { return 'a' <= c && c <= 'z' }
func isDigit(c byte) bool    { return '0' <= c && c <= '9' }
func isNameByte(c byte) bool { return isLower(c) || isDigit(c) || c == '_' || c == '.' }

// isNumberByte has no capitals: 0xFF has to be written 0xff, in xl as here.
func isNumberByte(c byte) bool { return isDigit(c) || 'a' <= c && c <= 'f' || c == 'x' }
