package config

import (
	"encoding"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// decoder fills a structure from a tree of YAML nodes. What is wrong it tells, and leaves out.
type decoder struct {
	problems
	places map[string]place
	into   any
	// ignored collects keys that are not known, where that is no mistake; nil where it is one.
	ignored *[]string
}

// bad tells what is wrong with the value of a key.
func (d *decoder) bad(n ast.Node, key, format string, args ...any) {
	p := n.GetToken().Position
	d.add(p.Line, p.Column, key, format, args...)
}

// pairs are the keys and values of a mapping; false where the node is none. Keys that are given twice count once.
func (d *decoder) pairs(n ast.Node, key string) ([]*ast.MappingValueNode, bool) {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		d.bad(n, key, "want keys below it, as KEY: VALUE")
		return nil, false
	}
	seen := map[string]place{}
	once := values[:0:0]
	for _, v := range values {
		t := v.Key.GetToken()
		if first, twice := seen[t.Value]; twice {
			d.bad(v.Key, join(key, t.Value), "it is given in line %d already; keep one", first.line)
			continue
		}
		seen[t.Value] = place{t.Position.Line, t.Position.Column}
		d.places[join(key, t.Value)] = seen[t.Value]
		once = append(once, v)
	}
	return once, true
}

// structure reads a mapping into a structure.
func (d *decoder) structure(n ast.Node, v reflect.Value, key string) {
	pairs, ok := d.pairs(n, key)
	if !ok {
		return
	}
	fields := fieldsOf(v.Type())
	for _, pair := range pairs {
		name := pair.Key.GetToken().Value
		f, known := find(fields, name)
		if !known && d.ignored != nil {
			*d.ignored = append(*d.ignored, join(key, name))
			continue
		}
		if !known {
			d.bad(pair.Key, join(key, name), "there is no such key%s", suggest(name, names(fields)))
			continue
		}
		d.value(pair.Value, v.Field(f.index), f, join(key, name))
	}
	for _, f := range fields {
		if f.tag.Get("required") != "" && v.Field(f.index).IsZero() {
			d.bad(n, key, "%s is missing", f.name)
		}
	}
}

// value reads the value of a field.
func (d *decoder) value(n ast.Node, v reflect.Value, f field, key string) {
	if n.Type() == ast.NullType {
		return // KEY: without anything is a key that is not given
	}
	switch {
	case isLeaf(v.Type()):
		d.leaf(n, v, f, key)
	case v.Kind() == reflect.Struct:
		d.structure(n, v, key)
	case v.Kind() == reflect.Map:
		d.mapping(n, v, f, key)
	default:
		d.sequence(n, v, f, key)
	}
}

// leaf reads one value.
func (d *decoder) leaf(n ast.Node, v reflect.Value, f field, key string) {
	text, ok := scalar(n)
	if !ok {
		d.bad(n, key, "want one value")
		return
	}
	parsed := reflect.New(v.Type()).Elem()
	if err := set(parsed, f, text); err != nil {
		d.bad(n, key, "%s%v", f.shown(text), err)
		return
	}
	v.Set(parsed)
}

// shown is a wrong value in front of what is wrong with it; of a secret nothing.
func (f field) shown(text string) string {
	if f.secret() {
		return ""
	}
	return strconv.Quote(shorten(withoutPasswords(text))) + ": "
}

// mapping reads a mapping with names that a person chose.
func (d *decoder) mapping(n ast.Node, v reflect.Value, f field, key string) {
	pairs, ok := d.pairs(n, key)
	if !ok {
		return
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for _, pair := range pairs {
		name := pair.Key.GetToken().Value
		if err := formats[f.tag.Get("key")].check(name); err != nil {
			d.bad(pair.Key, key, "%q: %v", shorten(name), err)
			continue
		}
		element := reflect.New(v.Type().Elem()).Elem()
		before := len(d.list)
		d.value(pair.Value, element, f, join(key, name))
		if isLeaf(element.Type()) && len(d.list) > before {
			continue
		}
		v.SetMapIndex(reflect.ValueOf(name), element)
	}
}

// sequence reads a list. An entry with something wrong is left out as a whole: half a rule for packets may allow more
// than the whole one.
func (d *decoder) sequence(n ast.Node, v reflect.Value, f field, key string) {
	list := reflect.MakeSlice(v.Type(), 0, 0)
	entries, ok := n.(*ast.SequenceNode)
	if !ok {
		d.bad(n, key, "want a list, each entry as - VALUE")
		if f.tag.Get("closed") != "" {
			v.Set(list)
		}
		return
	}
	for i, entry := range entries.Values {
		element := reflect.New(v.Type().Elem()).Elem()
		before := len(d.list)
		at := fmt.Sprintf("%s[%d]", key, i)
		if entry.Type() == ast.NullType {
			d.bad(entry, at, "the entry is empty")
		}
		d.value(entry, element, f, at)
		if len(d.list) == before {
			list = reflect.Append(list, element)
			p := entry.GetToken().Position
			d.places[at] = place{p.Line, p.Column}
		}
	}
	v.Set(list)
}

// scalar is the text of a node that is one value, whatever YAML takes it for: "010", "no" and "1e3" mean what they say.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.StringNode:
		return n.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// isLeaf says whether a type has one value.
func isLeaf(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Int, reflect.Int64, reflect.Pointer:
		return true
	}
	return t == reflect.TypeFor[netip.Addr]() || t == reflect.TypeFor[netip.Prefix]()
}

// set gives v the value that a text has for a field.
func set(v reflect.Value, f field, text string) error {
	if text == "" {
		return errors.New("want a value")
	}
	switch to := v.Addr().Interface().(type) {
	case **bool:
		value, ok := parseBool(text)
		if !ok {
			return errors.New("want yes or no")
		}
		*to = &value
		return nil
	case *int:
		return setInt(to, f, text)
	case **int:
		*to = new(int)
		return setInt(*to, f, text)
	case *netip.Addr:
		return setAddress(to, f, text)
	case *netip.Prefix:
		return setPrefix(to, f, text)
	case encoding.TextUnmarshaler:
		if err := to.UnmarshalText([]byte(text)); err != nil {
			return err
		}
		return f.checkRange(v)
	}
	if choices := f.choices(); choices != nil && !slices.Contains(choices, text) {
		return fmt.Errorf("want one of %s%s", strings.Join(choices, ", "), suggest(text, choices))
	}
	if check := formats[f.tag.Get("format")].check; check != nil {
		if err := check(text); err != nil {
			return err
		}
	}
	v.SetString(text)
	return nil
}
