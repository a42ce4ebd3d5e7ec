package payload

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// stanza is one paragraph of a deb822 file (deb822(5)): field names in lower case to values.
// Continuation lines are joined with newlines, their leading blanks removed.
type stanza map[string]string

// maxLine bounds one line. The longest ones of Debian's index, in Provides, have some 20 KiB.
const maxLine = 1 << 20

// parseStanzas reads paragraphs separated by blank lines. Lines that start with '#' are comments.
func parseStanzas(r io.Reader) ([]stanza, error) {
	var (
		list  []stanza
		cur   stanza
		field string
		n     int
	)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		n++
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.TrimSpace(line) == "":
			cur, field = nil, ""
		case line[0] == ' ' || line[0] == '\t':
			if field == "" {
				return nil, fmt.Errorf("line %d: continues no field", n)
			}
			cur[field] += "\n" + strings.TrimSpace(line)
		default:
			name, value, found := strings.Cut(line, ":")
			if !found || name == "" {
				return nil, fmt.Errorf("line %d: %q is no \"Field: value\"", n, line)
			}
			if cur == nil {
				cur = stanza{}
				list = append(list, cur)
			}
			field = strings.ToLower(name)
			cur[field] = strings.TrimSpace(value)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", n+1, err)
	}
	return list, nil
}

// parseRelation reads a relation field such as Depends: clauses separated by commas, of which
// each lists the names that satisfy it. Versions and architectures are left out: apt has
// already chosen packages that agree with them.
func parseRelation(field string) [][]string {
	var clauses [][]string
	for clause := range strings.SplitSeq(field, ",") {
		var names []string
		for alternative := range strings.SplitSeq(clause, "|") {
			if name := relationName(alternative); name != "" {
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			clauses = append(clauses, names)
		}
	}
	return clauses
}

// relationName is the package name of "python3:any (>= 3.13~)".
func relationName(s string) string {
	s = strings.TrimSpace(s)
	if end := strings.IndexAny(s, " \t\n([<:"); end >= 0 {
		s = s[:end]
	}
	return s
}
