package guests

import (
	"fmt"
	"io"
	"strings"
)

const (
	// maxConfigBytes bounds a configuration; xl's own longest example has 3 KB.
	maxConfigBytes = 64 << 10
	// maxDepth bounds lists in lists, and with them the recursion. xl.cfg(5) needs two (vnuma).
	maxDepth = 8
)

// byteOrderMark starts text files of some Windows editors.
const byteOrderMark = "\ufeff"

// Parse reads a configuration of xl.cfg(5). Every file that Xen 4.20's xl reads is read to the
// same values; beyond that, carriage returns, a byte order mark and a last comment without
// newline are accepted. file is for messages only. An error is an *Error with a position.
func Parse(file string, r io.Reader) (*Config, error) {
	config := &Config{File: file}
	source, err := io.ReadAll(io.LimitReader(r, maxConfigBytes+1))
	if err != nil {
		return nil, newError(file, Pos{}, fmt.Sprintf("cannot be read: %v", err), "check the medium", err)
	}
	if len(source) > maxConfigBytes {
		return nil, config.errorf(Pos{}, "check that it is a guest configuration",
			"the file is longer than %d KiB", maxConfigBytes>>10)
	}
	text := strings.TrimPrefix(string(source), byteOrderMark)
	p := &parser{
		config:  config,
		scanner: scanner{config: config, rest: text, pos: Pos{1, 1}},
		index:   map[string]int{},
	}
	if err := p.file(); err != nil {
		return nil, err
	}
	return config, nil
}

// parser is a recursive descent over the tokens, one token ahead.
type parser struct {
	config  *Config
	scanner scanner
	token   token
	index   map[string]int // name -> place in config.Settings
}

// advance reads the next token.
func (p *parser) advance() (err error) {
	p.token, err = p.scanner.next()
	return err
}

// expected makes the error for a token that does not belong here.
func (p *parser) expected(want, remedy string) error {
	return p.config.errorf(p.token.pos, remedy, "expected %s, found %s", want, p.token)
}

// file reads assignments, each ended by a newline, a semicolon or the end of the file.
func (p *parser) file() error {
	if err := p.advance(); err != nil {
		return err
	}
	for {
		switch p.token.kind {
		case tokenEnd:
			return nil
		case tokenNewline, tokenSemicolon:
			if err := p.advance(); err != nil {
				return err
			}
		default:
			if err := p.assignment(); err != nil {
				return err
			}
		}
	}
}

// assignment reads NAME = VALUE or NAME += VALUE and what separates it from the next.
func (p *parser) assignment() error {
	name := p.token
	if name.kind != tokenName {
		return p.expected("the name of a setting", "write NAME = VALUE")
	}
	if err := p.advance(); err != nil {
		return err
	}
	operator := p.token.kind
	if operator != tokenAssign && operator != tokenAppend {
		return p.expected(fmt.Sprintf("= or += after %s", name.text),
			fmt.Sprintf("write %s = VALUE", name.text))
	}
	if err := p.advance(); err != nil {
		return err
	}
	value, err := p.value(0)
	if err != nil {
		return err
	}
	switch p.token.kind {
	case tokenEnd, tokenNewline, tokenSemicolon:
	default:
		return p.expected("the end of the line",
			"start a new line or put a semicolon between two settings")
	}
	return p.store(name.text, operator, value)
}

// value reads a string, a number or a list.
func (p *parser) value(depth int) (Value, error) {
	start := p.token
	switch start.kind {
	case tokenString:
		return Value{Kind: String, Text: start.text, Pos: start.pos}, p.advance()
	case tokenNumber:
		return Value{Kind: Number, Text: start.text, Pos: start.pos}, p.advance()
	case tokenOpen:
		return p.list(depth)
	case tokenName:
		remedy := fmt.Sprintf("put it in quotes: '%s'", start.text)
		if depth > 0 {
			remedy += ", or close the list before it with ]"
		}
		return Value{}, p.expected("a value", remedy)
	default:
		return Value{}, p.expected("a value", "give a string in quotes, a number or a [ list ]")
	}
}

// list reads [ value, ... ]. Newlines may stand anywhere in it, a comma after the last value.
func (p *parser) list(depth int) (Value, error) {
	list := Value{Kind: List, Pos: p.token.pos}
	if depth == maxDepth {
		return list, p.config.errorf(list.Pos, "remove brackets", "lists are nested too deeply")
	}
	if err := p.advanceLine(); err != nil {
		return list, err
	}
	for p.token.kind != tokenClose {
		element, err := p.element(list.Pos, depth)
		if err != nil {
			return list, err
		}
		list.List = append(list.List, element)
	}
	return list, p.advance()
}

// element reads one value of the list that was opened at open, and the comma after it.
func (p *parser) element(open Pos, depth int) (Value, error) {
	if p.token.kind == tokenEnd {
		return Value{}, p.unclosed(open)
	}
	value, err := p.value(depth + 1)
	if err == nil {
		err = p.skipLines()
	}
	if err != nil {
		return value, err
	}
	switch p.token.kind {
	case tokenComma:
		return value, p.advanceLine()
	case tokenClose:
		return value, nil
	case tokenEnd, tokenName:
		// A name here is the next setting: the bracket was forgotten further up.
		return value, p.unclosed(open)
	default:
		return value, p.expected(", or ] in the list", "put a comma between two values")
	}
}

func (p *parser) unclosed(open Pos) error {
	return p.config.errorf(open, "close it with ]", "the list has no end")
}

// advanceLine reads the next token that is no newline.
func (p *parser) advanceLine() error {
	if err := p.advance(); err != nil {
		return err
	}
	return p.skipLines()
}

func (p *parser) skipLines() error {
	for p.token.kind == tokenNewline {
		if err := p.advance(); err != nil {
			return err
		}
	}
	return nil
}

// store keeps a setting: the last assignment wins, += joins strings and lists.
func (p *parser) store(name string, operator tokenKind, value Value) error {
	at, known := p.index[name]
	if !known {
		p.index[name] = len(p.config.Settings)
		p.config.Settings = append(p.config.Settings, Setting{name, value})
		return nil
	}
	setting := &p.config.Settings[at]
	if operator == tokenAssign {
		setting.Value = value
		return nil
	}
	return p.join(setting, value)
}

// join appends value to the setting.
func (p *parser) join(setting *Setting, value Value) error {
	before := &setting.Value
	switch {
	case (before.Kind == List) != (value.Kind == List):
		return p.config.errorf(value.Pos, "append a [ list ] to a list and a string to a string",
			"%s += cannot join a list and a single value", setting.Name)
	case before.Kind == Number && value.Kind == Number:
		return p.config.errorf(value.Pos, fmt.Sprintf("write %s = NUMBER", setting.Name),
			"%s += cannot add numbers", setting.Name)
	case value.Kind == List:
		before.List = append(before.List, value.List...)
	default:
		before.Kind = String
		before.Text += value.Text
	}
	return nil
}
