// Package sha256sums reads and writes lists of checksums as sha256sum(1) of the GNU coreutils does. It
// reads every form that sha256sum --check --strict reads:
//
//	HEX  path            64 hexadecimal digits, a space or tab, a space for text mode, the path
//	HEX *path            the same in binary mode, as sha256sum -b writes it
//	HEX path             without a mode; one list must not have lines with and without
//	SHA256 (path) = HEX  as sha256sum --tag and the BSDs write it; the spaces may be missing
//
// A backslash before any of them marks a path with escapes: \\ for a backslash, \n for a line feed, \r
// for a carriage return.
//
// It is stricter than sha256sum where two readings are possible: paths in lists without modes do not
// begin with the character for a mode, and no path is empty or has a zero byte.
//
// A path is whatever the list says. Check it before opening it; fs.ValidPath does for a list of
// what lies below one directory, once path.Clean has removed the "./" that find(1) writes.
package sha256sums

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Name is what a list of the sums of a directory's files is usually called.
const Name = "SHA256SUMS"

// Sum is one line of a list.
type Sum struct {
	Path   string // as the list has it, without the escapes
	SHA256 [sha256.Size]byte
}

// The longest path, in bytes (PATH_MAX of limits.h), and the longest line: --tag, every byte of the path
// escaped.
const (
	maxPath = 4096
	maxLine = len(`\SHA256 () = `) + 2*maxPath + digits
)

// digits is the length of a sum in hexadecimal.
const digits = 2 * sha256.Size

// Parse reads a list. It skips empty lines and lines that begin with "#", as sha256sum -c does,
// and lines may end as Windows ends them. Any other line must be a sum; the error names the first
// that is not by its number. Parse does not limit how much it reads.
func Parse(r io.Reader) ([]Sum, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	var sums []Sum
	var list parser
	number := 0
	for lines.Scan() {
		number++
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		sum, err := list.parse(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		sums = append(sums, sum)
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("line %d: longer than %d bytes; write the list with sha256sum", number+1, maxLine)
	} else if err != nil {
		return nil, fmt.Errorf("read list of sums: %w", err)
	}
	return sums, nil
}

var (
	errForm = errors.New(`not "SHA-256 in hexadecimal, two spaces, path"; write the list with sha256sum`)
	errBOM  = errors.New("begins with a byte order mark, which sha256sum cannot read; " +
		"save the list as UTF-8 without it")
)

// byteOrderMarks are what Windows' programs put before a text, in UTF-8 and UTF-16 (Unicode, 23.8).
var byteOrderMarks = []string{"\ufeff", "\xff\xfe", "\xfe\xff"}

// parser is the state of one Parse.
type parser struct {
	modes modes
}

// modes says whether the lines of a list have a character for the mode. A path can begin with that
// character too, so a list must not have lines of both kinds: the sum of a file " x" would pass for that
// of "x".
type modes int

const (
	undecided modes = iota // only --tag lines so far, or none
	withModes
	withoutModes
)

// parse reads one line without its end.
func (p *parser) parse(line string) (Sum, error) {
	hasMark := func(mark string) bool { return strings.HasPrefix(line, mark) }
	if slices.ContainsFunc(byteOrderMarks, hasMark) {
		return Sum{}, errBOM
	}
	line, escaped := strings.CutPrefix(strings.TrimLeft(line, blanks), `\`)
	hexadecimal, path, ok := p.split(line)
	if !ok || len(hexadecimal) != digits {
		return Sum{}, errForm
	}
	sum := Sum{Path: path}
	if _, err := hex.Decode(sum.SHA256[:], []byte(hexadecimal)); err != nil {
		return Sum{}, errForm
	}
	if escaped {
		var err error
		if sum.Path, err = unescape(path); err != nil {
			return Sum{}, err
		}
	}
	return sum, checkPath(sum.Path)
}

// blanks are what sha256sum takes for white space.
const blanks = " \t"

// split cuts a line into its sum and its path, still escaped.
func (p *parser) split(line string) (hexadecimal, path string, ok bool) {
	if rest, tagged := strings.CutPrefix(line, "SHA256"); tagged {
		return splitTagged(rest)
	}
	if len(line) < digits+2 || !strings.ContainsRune(blanks, rune(line[digits])) {
		return "", "", false
	}
	hexadecimal, path = line[:digits], line[digits+1:]
	modes := withoutModes
	if path[0] == ' ' || path[0] == '*' {
		modes, path = withModes, path[1:]
	}
	if p.modes == undecided {
		p.modes = modes
	}
	return hexadecimal, path, p.modes == modes && path != ""
}

// splitTagged reads " (path) = HEX". The last ")" ends the path, so that a path can have others.
func splitTagged(text string) (hexadecimal, path string, ok bool) {
	text, opened := strings.CutPrefix(strings.TrimPrefix(text, " "), "(")
	end := strings.LastIndexByte(text, ')')
	if !opened || end < 0 {
		return "", "", false
	}
	hexadecimal, ok = strings.CutPrefix(strings.TrimLeft(text[end+1:], blanks), "=")
	return strings.TrimLeft(hexadecimal, blanks), text[:end], ok
}

// checkPath says what keeps path from being the name of any file.
func checkPath(path string) error {
	switch {
	case path == "":
		return errors.New("the path is empty")
	case strings.ContainsRune(path, 0):
		return fmt.Errorf("the path %.100q has a zero byte; write the list without --zero", path)
	case len(path) > maxPath:
		return fmt.Errorf("a path is longer than %d bytes", maxPath)
	}
	return nil
}

// escapes are the bytes that cannot stand in a line as they are.
var escapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`)

// unescape undoes escapes.
func unescape(path string) (string, error) {
	var b strings.Builder
	for {
		plain, rest, found := strings.Cut(path, `\`)
		b.WriteString(plain)
		if !found {
			return b.String(), nil
		}
		switch {
		case strings.HasPrefix(rest, `\`):
			b.WriteByte('\\')
		case strings.HasPrefix(rest, "n"):
			b.WriteByte('\n')
		case strings.HasPrefix(rest, "r"):
			b.WriteByte('\r')
		default:
			return "", fmt.Errorf(`%.100q: after a backslash only "\", "n" or "r" can follow`, path)
		}
		path = rest[1:]
	}
}

// Format writes the sums as a list, in their order. A path that no file can have is an error; nothing
// is written then.
func Format(w io.Writer, sums []Sum) error {
	var b bytes.Buffer
	for _, sum := range sums {
		if err := checkPath(sum.Path); err != nil {
			return fmt.Errorf("write list of sums: %w", err)
		}
		path := escapes.Replace(sum.Path)
		if path != sum.Path {
			b.WriteByte('\\')
		}
		fmt.Fprintf(&b, "%x  %s\n", sum.SHA256, path)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write list of sums: %w", err)
	}
	return nil
}
