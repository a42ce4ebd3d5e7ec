package xenring

import (
	"slices"
	"strings"
)

// maxLine bounds what is kept of a line without end, bytes.
const maxLine = 4 << 10

// Lines cuts what the hypervisor says into lines.
type Lines struct{ rest string }

// Cut returns the lines that text ends, and keeps what it begins.
func (l *Lines) Cut(text string) []string {
	var lines []string
	for line := range strings.Lines(l.rest + text) {
		whole, ended := strings.CutSuffix(line, "\n")
		if !ended && len(line) < maxLine {
			l.rest = line
			return lines
		}
		if whole = strings.Trim(whole, "\r\x00"); whole != "" {
			lines = append(lines, whole)
		}
	}
	l.rest = ""
	return lines
}

// Begun is how many bytes of text there are of a line that has no end yet.
func (l *Lines) Begun() int { return len(l.rest) }

// Urgent says whether a line is one of the hypervisor's own about trouble. Xen keeps its levels to itself.
func Urgent(line string) bool {
	text, own := strings.CutPrefix(line, "(XEN) ")
	if !own {
		return false
	}
	return slices.ContainsFunc(trouble, func(word string) bool { return strings.Contains(text, word) })
}

// trouble are words of Xen's about it.
var trouble = []string{
	"WARNING", "ERROR", "BUG", "panic", "Panic", "FATAL", "crashed", "Xen call trace", "Assertion",
}
