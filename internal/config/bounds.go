package config

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

// Limits of a file. The deepest key of ours is six levels down; the parser calls itself at each level.
const (
	MaxSize   = 128 << 10 // bytes: the parser takes up to 300 bytes of memory for one
	maxTokens = 30_000    // words and signs: 1,000 guests with ten lines each. The parser takes their square
	maxFlow   = 8         // [ and { in each other
	maxIndent = 64        // spaces before a line
	maxDashes = 4         // - - - in one line
)

// refused are parts of YAML that no configuration needs, by the type of their token. Anchors and aliases are how a
// small file becomes a large one.
var refused = map[token.Type]string{
	token.AnchorType:     "anchors (&name) are not supported; write the value in each place",
	token.AliasType:      "aliases (*name) are not supported; a value that begins with * needs quotes",
	token.MergeKeyType:   "merge keys (<<) are not supported; write the keys in each place",
	token.TagType:        "tags (!name) are not supported; put quotes around a value that begins with !",
	token.DirectiveType:  "directives (%YAML) are not supported; leave the line out",
	token.MappingKeyType: "keys are written as KEY: VALUE, without a question mark",
}

// checkText looks at a file before any of it is parsed. It adds a problem and returns false if nothing of it is usable.
func (p *problems) checkText(text []byte) bool {
	start := strings.ToLower(string(bytes.TrimSpace(text[:min(len(text), 512)])))
	switch {
	case len(text) > MaxSize:
		p.add(0, 0, "", "it has more than %d bytes; is it a configuration?", MaxSize)
	case bytes.HasPrefix(text, []byte("\xFF\xFE")) || bytes.HasPrefix(text, []byte("\xFE\xFF")):
		p.add(1, 1, "", "it is in UTF-16; save it as UTF-8")
	case bytes.IndexByte(text, 0) >= 0:
		p.add(0, 0, "", "it has zero bytes: it is no text")
	case !utf8.Valid(text):
		p.add(0, 0, "", "it is not in UTF-8; save it as UTF-8")
	case slices.ContainsFunc([]string{"<!doctype", "<html", "<?xml"}, func(s string) bool {
		return strings.HasPrefix(start, s)
	}):
		p.add(1, 1, "", "it is a web page (HTML or XML), not a configuration; "+
			"does the address lead to a page of errors, or to a login?")
	default:
		return p.checkLines(string(text))
	}
	return false
}

// checkLines looks at how lines begin.
func (p *problems) checkLines(text string) bool {
	number := 0
	for line := range strings.Lines(text) {
		number++
		content := strings.TrimLeft(line, " \t")
		indent := line[:len(line)-len(content)]
		switch {
		case strings.TrimSpace(content) == "":
		case strings.Contains(indent, "\t"):
			p.add(number, 1+strings.IndexByte(indent, '\t'), "", "YAML is indented by spaces, this is a tab")
			return false
		case len(indent) > maxIndent:
			p.add(number, maxIndent+1, "", "the line begins with more than %d spaces", maxIndent)
			return false
		}
	}
	return true
}

// tokens cuts a file into tokens, and checks that they are few levels deep and none of those that are refused.
func (p *problems) tokens(text string) (token.Tokens, bool) {
	tokens := lexer.Tokenize(text)
	if len(tokens) > maxTokens {
		p.add(0, 0, "", "it has more than %d words and signs; is it a configuration?", maxTokens)
		return nil, false
	}
	flow, dashes, line := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			dashes, line = 0, t.Position.Line
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType:
			dashes++
		}
		text, bad := refused[t.Type]
		switch {
		case bad:
		case flow > maxFlow || dashes > maxDashes:
			text = "it is nested too deeply"
		default:
			continue
		}
		p.add(t.Position.Line, t.Position.Column, "", "%s", text)
		return nil, false
	}
	return tokens, true
}
