package config

import (
	"bytes"
	"errors"
	"reflect"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// File is what a configuration file says.
type File struct {
	Config   Config
	Problems []Problem
	source   string
	places   map[string]place // of what was given, by its key
}

// place is where in a file something is.
type place struct{ line, column int }

// Parse reads a zerodisc.yaml. source names it in problems. What has a problem is left out of the Config.
func Parse(source string, text []byte) File {
	var c Config
	d := &decoder{problems: problems{source: source}, into: &c}
	d.run(text)
	return File{Config: c, Problems: d.list, source: source, places: d.places}
}

// run reads a YAML file into a structure with the tags of this package's types.
func (d *decoder) run(text []byte) {
	d.places = map[string]place{}
	text = bytes.TrimPrefix(text, []byte("\uFEFF"))
	if !d.checkText(text) {
		return
	}
	if root := d.parse(string(text)); root != nil {
		d.structure(root, reflect.ValueOf(d.into).Elem(), "")
	}
}

// parse returns the one mapping that a file is, nil where there is none. The parser has had panics.
func (d *decoder) parse(text string) (root ast.Node) {
	defer func() {
		if r := recover(); r != nil {
			d.add(0, 0, "", "it cannot be read as YAML: %v", r)
			root = nil
		}
	}()
	tokens, ok := d.tokens(text)
	if !ok {
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.syntax(err)
		return nil
	}
	for _, document := range file.Docs {
		switch {
		case document.Body == nil || document.Body.Type() == ast.NullType || document.Body.Type() == ast.CommentType:
		case root != nil:
			p := document.Body.GetToken().Position
			d.add(p.Line, p.Column, "", "a second document (---) begins before this; put everything into one")
		default:
			root = document.Body
		}
	}
	return root
}

// syntax tells of an error of the parser's.
func (d *decoder) syntax(err error) {
	var at yaml.Error
	if !errors.As(err, &at) || at.GetToken() == nil {
		d.add(0, 0, "", "it is no YAML: %v", err)
		return
	}
	p := at.GetToken().Position
	d.add(p.Line, p.Column, "", "it is no YAML: %s; nothing of the file is used", at.GetMessage())
}

// Source is how problems and settings name the file.
func (f File) Source() string { return f.source }
