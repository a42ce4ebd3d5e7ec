// Package guests reads guest directories: an ordinary xl configuration (xl.cfg(5)) and the
// files it names. It says what each guest needs, completes the configuration for the machine
// it is to run on, and decides which guests fit in memory.
//
// The way of a guest is Scan (or Load), Guest.Resolve, and then Resolved.Bytes handed to
// `xl create`. Nothing here talks to Xen, so both the build and the running host use it.
package guests

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Kind says how a value was written.
type Kind int

const (
	String Kind = iota // 'text' or "text"
	Number             // 512, 0x200 or 01000
	List               // [ value, value ]
)

// Value is one value of a configuration. To xl a number is a string written without quotes:
// what it is good for is known only to the setting.
type Value struct {
	Kind Kind
	Text string  // of a String or Number, escapes resolved
	List []Value // of a List
	Pos  Pos
}

// Setting is one named value.
type Setting struct {
	Name  string
	Value Value
}

// Config is a parsed configuration: every name once, in the order of first appearance. A second
// NAME = VALUE has replaced the first and NAME += VALUE has been appended, as xl does.
type Config struct {
	File     string // for messages
	Settings []Setting
}

// Lookup returns the setting called name, or nil.
func (c *Config) Lookup(name string) *Setting {
	for i := range c.Settings {
		if c.Settings[i].Name == name {
			return &c.Settings[i]
		}
	}
	return nil
}

// Text returns the single value called name. ok is false when there is none; a list is an error.
func (c *Config) Text(name string) (value Value, ok bool, err error) {
	setting := c.Lookup(name)
	if setting == nil {
		return Value{}, false, nil
	}
	if setting.Value.Kind == List {
		return Value{}, false, c.errorf(setting.Value.Pos,
			fmt.Sprintf("write %s = \"VALUE\" without brackets", name),
			"%s is a list but has to be a single value", name)
	}
	return setting.Value, true, nil
}

// List returns the list called name, nil when there is none. A single value, or an element that
// is a list itself, is an error: every list this package looks into holds strings.
func (c *Config) List(name string) ([]Value, error) {
	setting := c.Lookup(name)
	if setting == nil {
		return nil, nil
	}
	if setting.Value.Kind != List {
		return nil, c.errorf(setting.Value.Pos,
			fmt.Sprintf("write %s = [ '...' ]", name),
			"%s is a single value but has to be a list", name)
	}
	for _, element := range setting.Value.List {
		if element.Kind == List {
			return nil, c.errorf(element.Pos,
				fmt.Sprintf("write %s = [ '...', '...' ]", name),
				"%s holds a list inside the list", name)
		}
	}
	return setting.Value.List, nil
}

// Int returns the number called name, missing when it is not set. xl falls back on a default
// with a warning where a number is malformed or out of bounds; here it is an error.
func (c *Config) Int(name string, missing, least, most int64) (int64, error) {
	value, ok, err := c.Text(name)
	if err != nil || !ok {
		return missing, err
	}
	number, err := parseInt(value.Text)
	if err != nil {
		return 0, c.errorf(value.Pos,
			fmt.Sprintf("write %s = NUMBER (0x... is hexadecimal, a leading 0 octal)", name),
			"%s = %q is not a number", name, value.Text)
	}
	if number < least || number > most {
		return 0, c.errorf(value.Pos,
			fmt.Sprintf("give a number from %d to %d", least, most),
			"%s = %d is out of bounds", name, number)
	}
	return number, nil
}

// parseInt reads a number as C's strtol does with base 0, which is what xl reads numbers with.
func parseInt(text string) (int64, error) {
	digits := strings.TrimLeft(text, " \t\n\v\f\r")
	sign := int64(1)
	switch {
	case strings.HasPrefix(digits, "-"):
		sign, digits = -1, digits[1:]
	case strings.HasPrefix(digits, "+"):
		digits = digits[1:]
	}
	base := 10
	switch {
	case strings.HasPrefix(digits, "0x"), strings.HasPrefix(digits, "0X"):
		base, digits = 16, digits[2:]
	case strings.HasPrefix(digits, "0"):
		base = 8
	}
	number, err := strconv.ParseUint(digits, base, 63)
	return sign * int64(number), err
}

// set gives the setting called name a string value: in its place if it exists, else at the end.
func (c *Config) set(name, text string) {
	if setting := c.Lookup(name); setting != nil {
		setting.Value = Value{Kind: String, Text: text, Pos: setting.Value.Pos}
		return
	}
	c.Settings = append(c.Settings, Setting{Name: name, Value: Value{Kind: String, Text: text}})
}

// setList gives the setting called name a list: in its place if it exists, else at the end.
func (c *Config) setList(name string, list []Value) {
	if setting := c.Lookup(name); setting != nil {
		setting.Value.List = list
		return
	}
	c.Settings = append(c.Settings, Setting{Name: name, Value: Value{Kind: List, List: list}})
}

// clone returns a copy that shares nothing that set or a change to a list's element would alter.
func (c *Config) clone() *Config {
	copied := &Config{File: c.File, Settings: make([]Setting, len(c.Settings))}
	for i, setting := range c.Settings {
		setting.Value.List = append([]Value(nil), setting.Value.List...)
		copied.Settings[i] = setting
	}
	return copied
}

// errorf makes an error about a place in the file.
func (c *Config) errorf(pos Pos, remedy, format string, args ...any) *Error {
	return newError(c.File, pos, fmt.Sprintf(format, args...), remedy, nil)
}

// faultAt makes an error about a place in the file of a *fault.
func (c *Config) faultAt(pos Pos, before string, err error) error {
	var f *fault
	if !errors.As(err, &f) {
		return err
	}
	return c.errorf(pos, f.remedy, "%s%s", before, f.problem)
}

// Render writes the configuration in a form that xl and Parse read back as the same value: one
// setting a line, strings in double quotes.
func (c *Config) Render() []byte {
	var out bytes.Buffer
	for _, setting := range c.Settings {
		out.WriteString(setting.Name + " = ")
		renderValue(&out, setting.Value)
		out.WriteByte('\n')
	}
	return out.Bytes()
}

func renderValue(out *bytes.Buffer, value Value) {
	switch value.Kind {
	case Number:
		out.WriteString(value.Text)
	case String:
		out.WriteString(quote.Replace(value.Text))
	case List:
		out.WriteByte('[')
		for i, element := range value.List {
			if i > 0 {
				out.WriteByte(',')
			}
			out.WriteByte(' ')
			renderValue(out, element)
		}
		out.WriteString(" ]")
	}
}
