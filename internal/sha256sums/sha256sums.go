// Package sha256sums reads and writes lists of checksums as sha256sum(1) of the GNU coreutils does:
//
//	HEX  path        the sum of 64 hexadecimal digits, two spaces, the path
//	HEX *path        the same; sha256sum -b marks files read in binary mode
//	\HEX  path       the path has \\ for a backslash, \n for a line feed, \r for a carriage return
//
// A path is whatever the list says. Who opens it checks it first; fs.ValidPath does for a list of
// what lies below one directory, once path.Clean has taken the "./" away that find(1) puts before.
package sha256sums

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Name is what a list of the sums of a directory's files is usually called.
const Name = "SHA256SUMS"

// Sum is one line of a list.
type Sum struct {
	Path   string // as the list has it, without the escapes
	SHA256 [sha256.Size]byte
}

// The longest path, in bytes (PATH_MAX of limits.h), and the longest line: every byte of the path is
// escaped.
const (
	maxPath = 4096
	maxLine = 2*maxPath + 2*sha256.Size + 3
)

// Parse reads a list. Empty lines and lines that begin with "#" are skipped, as sha256sum -c does,
// and lines may end as Windows ends them. Any other line has to be a sum; the error names the first
// that is not by its number. Parse does not limit how much it reads.
func Parse(r io.Reader) ([]Sum, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	var sums []Sum
	number := 0
	for lines.Scan() {
		number++
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		sum, err := parseLine(line)
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

var errForm = errors.New(`not "SHA-256 in hexadecimal, two spaces, path"; write the list with sha256sum`)

// parseLine reads one line without its end.
func parseLine(line string) (Sum, error) {
	var sum Sum
	line, escaped := strings.CutPrefix(line, `\`)
	const digits = 2 * sha256.Size
	if len(line) < digits+3 || line[digits] != ' ' || (line[digits+1] != ' ' && line[digits+1] != '*') {
		return sum, errForm
	}
	if _, err := hex.Decode(sum.SHA256[:], []byte(line[:digits])); err != nil {
		return sum, errForm
	}
	sum.Path = line[digits+2:]
	if escaped {
		path, err := unescape(sum.Path)
		if err != nil {
			return sum, err
		}
		sum.Path = path
	}
	return sum, checkPath(sum.Path)
}

// checkPath says what keeps path from being the name of any file.
func checkPath(path string) error {
	switch {
	case path == "":
		return errors.New("the path is empty")
	case strings.ContainsRune(path, 0):
		return fmt.Errorf("the path %q has a zero byte", path)
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
			return "", fmt.Errorf(`%q: after a backslash only "\", "n" or "r" can follow`, path)
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
