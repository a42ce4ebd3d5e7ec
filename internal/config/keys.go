package config

import (
	_ "embed"
	"reflect"
	"strings"
)

// fieldText has a line for each key: its path, what it means, and what holds without it.
//
//go:embed fields.txt
var fieldText string

// Key is a key that a configuration may have.
type Key struct {
	Path    string // network.bridges.NAME.routes[].to
	Name    string // to
	Doc     string // what it means
	Default string // what holds without it, "" where that is nothing
	field   field
}

// Keys lists all keys in the order of the types.
func Keys() []Key {
	about := map[string][2]string{}
	for line := range strings.Lines(fieldText) {
		parts := strings.SplitN(strings.TrimSpace(line), " | ", 3)
		parts = append(parts, "", "")
		about[parts[0]] = [2]string{parts[1], parts[2]}
	}
	var keys []Key
	walk(reflect.TypeFor[Config](), "", func(path string, f field) {
		keys = append(keys, Key{path, f.name, about[path][0], about[path][1], f})
	})
	return keys
}

// walk calls each for all fields of a structure and of what is in it.
func walk(t reflect.Type, prefix string, each func(path string, f field)) {
	for _, f := range fieldsOf(t) {
		path := prefix + f.name
		each(path, f)
		inner, below := elementOf(f.typ, path)
		if inner.Kind() == reflect.Struct && !isLeaf(inner) {
			walk(inner, below+".", each)
		}
	}
}

// elementOf is what is in a list or a mapping, and its path.
func elementOf(t reflect.Type, path string) (reflect.Type, string) {
	switch t.Kind() {
	case reflect.Slice:
		return t.Elem(), path + "[]"
	case reflect.Map:
		return t.Elem(), path + ".NAME"
	}
	return t, path
}
