package lvm

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Limits of a text. A volume takes some twenty nodes.
const (
	maxNodes = 200_000
	maxDepth = 8
)

// node is a section, whose nodes are sections and assignments, or an assignment with its values.
type node struct {
	key      string
	section  bool
	children []*node
	values   []value
}

// value is a whole number or a text. Words without quotes are texts, and so are fractions, of which metadata have none.
type value struct {
	text   string
	number int64
	isText bool
}

// child returns the node with a key, nil if there is none.
func (n *node) child(key string) *node {
	if n == nil {
		return nil
	}
	for _, c := range n.children {
		if c.key == key {
			return c
		}
	}
	return nil
}

// text returns the text assigned to a key, "" if there is none.
func (n *node) text(key string) string {
	if c := n.child(key); c != nil && len(c.values) == 1 && c.values[0].isText {
		return c.values[0].text
	}
	return ""
}

// number returns the number assigned to a key, which must be at most limit; missing where there is none.
func (n *node) number(key string, missing, limit uint64) (uint64, error) {
	c := n.child(key)
	if c == nil {
		return missing, nil
	}
	if len(c.values) != 1 || c.values[0].isText || c.values[0].number < 0 || uint64(c.values[0].number) > limit {
		return 0, fmt.Errorf("%s: want a number from 0 to %d", key, limit)
	}
	return uint64(c.values[0].number), nil
}

// has says whether text is among the values of a key.
func (n *node) has(key, text string) bool {
	c := n.child(key)
	if c == nil {
		return false
	}
	for _, v := range c.values {
		if v.isText && v.text == text {
			return true
		}
	}
	return false
}

// scanner reads LVM's configuration language (libdm/libdm-config.c):
//
//	section { key = value  list = [ "text", 1 ] }  # comment
type scanner struct {
	rest  string
	nodes int
}

// parseText reads a text as one section. NULs end it.
func parseText(text string) (*node, error) {
	text, _, _ = strings.Cut(text, "\x00")
	s := scanner{rest: text}
	root := &node{section: true}
	if err := s.nodesOf(root, 0); err != nil {
		line := 1 + strings.Count(text[:len(text)-len(s.rest)], "\n")
		return nil, fmt.Errorf("line %d: %w", line, err)
	}
	return root, nil
}

// space passes over white space and comments.
func (s *scanner) space() {
	for {
		s.rest = strings.TrimLeft(s.rest, " \t\r\n")
		if !strings.HasPrefix(s.rest, "#") {
			return
		}
		_, s.rest, _ = strings.Cut(s.rest, "\n")
	}
}

// take passes over the character c if it comes next.
func (s *scanner) take(c byte) bool {
	s.space()
	if s.rest == "" || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// nodesOf reads what is in a section, with its closing brace; the outermost ends with the text.
func (s *scanner) nodesOf(section *node, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("more than %d sections in each other", maxDepth)
	}
	for {
		if s.space(); s.rest == "" {
			if depth > 0 {
				return errors.New("a section without end")
			}
			return nil
		}
		if depth > 0 && s.take('}') {
			return nil
		}
		n, err := s.node(depth)
		if err != nil {
			return err
		}
		section.children = append(section.children, n)
	}
}

// count bounds what a text can make of itself.
func (s *scanner) count() error {
	if s.nodes++; s.nodes > maxNodes {
		return fmt.Errorf("more than %d settings", maxNodes)
	}
	return nil
}

// node reads a section or an assignment.
func (s *scanner) node(depth int) (*node, error) {
	if err := s.count(); err != nil {
		return nil, err
	}
	key, err := s.key()
	if err != nil {
		return nil, err
	}
	n := &node{key: key}
	switch {
	case s.take('{'):
		n.section = true
		err = s.nodesOf(n, depth+1)
	case !s.take('='):
		return nil, fmt.Errorf("%.40q is neither a section nor a setting", key)
	case s.take('['):
		err = s.list(n)
	default:
		err = s.value(n)
	}
	return n, err
}

// key reads a name: a text, or all up to white space or punctuation.
func (s *scanner) key() (string, error) {
	if s.space(); strings.HasPrefix(s.rest, `"`) {
		return s.quoted()
	}
	end := strings.IndexAny(s.rest, " \t\r\n#={}[],\"")
	if end < 0 {
		end = len(s.rest)
	}
	key := s.rest[:end]
	if key == "" {
		return "", fmt.Errorf("a name was expected before %.20q", s.rest)
	}
	s.rest = s.rest[end:]
	return key, nil
}

// list reads values up to a bracket. A comma may follow the last one.
func (s *scanner) list(n *node) error {
	for !s.take(']') {
		if err := s.value(n); err != nil {
			return err
		}
		if !s.take(',') {
			if !s.take(']') {
				return errors.New("a list without end")
			}
			return nil
		}
	}
	return nil
}

// value reads a text or a number.
func (s *scanner) value(n *node) error {
	if err := s.count(); err != nil {
		return err
	}
	s.space()
	v := value{isText: true}
	var err error
	switch {
	case strings.HasPrefix(s.rest, `"`):
		v.text, err = s.quoted()
	case strings.HasPrefix(s.rest, `'`):
		text, rest, ok := strings.Cut(s.rest[1:], `'`)
		if !ok {
			return errors.New("a text without end")
		}
		v.text, s.rest = text, rest
	default:
		if v.text, err = s.key(); err != nil {
			return err
		}
		if number, failed := strconv.ParseInt(v.text, 10, 64); failed == nil {
			v = value{number: number}
		}
	}
	n.values = append(n.values, v)
	return err
}

// quoted reads a text in double quotes. A backslash stands before those that belong to it, and before backslashes.
func (s *scanner) quoted() (string, error) {
	var b strings.Builder
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			s.rest = s.rest[i+1:]
			return b.String(), nil
		case c == '\\' && i+1 < len(s.rest) && (s.rest[i+1] == '"' || s.rest[i+1] == '\\'):
			i++
			b.WriteByte(s.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", errors.New("a text without end")
}
