package config

import (
	"fmt"
	"strings"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// Problem is something wrong in a configuration. What it is about is not used, all else is.
type Problem struct {
	Source       string // the file, or what else it is in
	Line, Column int    // from 1 on; 0 where there is none
	Key          string // "network.bridges.lan.vlan"; "" for the whole source
	Text         string // what is wrong, and what to do
}

// Error is the problem in one line of printable characters.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.Source)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	return printable.Line(b.String() + p.Text)
}

// maxProblems is how many problems of one source are named; a file of something else has thousands.
const maxProblems = 50

// problems collects what is wrong with one source.
type problems struct {
	source string
	list   []Problem
}

func (p *problems) add(line, column int, key, format string, args ...any) {
	if len(p.list) < maxProblems {
		p.list = append(p.list, Problem{p.source, line, column, key, fmt.Sprintf(format, args...)})
	} else if len(p.list) == maxProblems {
		p.list = append(p.list, Problem{Source: p.source, Text: "there are more problems; mend these first"})
	}
}

// shorten bounds what is shown of a value.
func shorten(text string) string {
	const most = 60
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return text
}
