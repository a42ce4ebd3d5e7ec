package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// Layer is what one source says.
type Layer struct {
	Source string // "kernel command line", "/dev/sdb1"
	Config Config
	places map[string]place // of a file: where in it its keys are
}

// Layer is the file as a source.
func (f File) Layer() Layer { return Layer{f.source, f.Config, f.places} }

// Merged is what several sources say together.
type Merged struct {
	Config   Config
	Settings []Setting
}

// Setting is one value and where it came from.
type Setting struct {
	Key    string // "network.bridges.lan.vlan"
	Value  string // printable; of a secret only that there is one
	Source string
}

// masked is shown in place of a secret.
const masked = "(secret)"

// userInfo is the user name and the password in a URL.
var userInfo = regexp.MustCompile(`//[^/@\s]*@`)

func withoutPasswords(text string) string { return userInfo.ReplaceAllString(text, "//"+masked+"@") }

// Merge puts sources together, the one that counts most first. It goes by keys: bridges, bonds and guests of the same
// name are put together, a list takes the place of another list as a whole. The settings are in the order of the types.
func Merge(layers ...Layer) Merged {
	var m Merged
	values := make([]source, 0, len(layers))
	for _, l := range layers {
		values = append(values, source{l.Source, reflect.ValueOf(l.Config)})
	}
	m.merge(reflect.ValueOf(&m.Config).Elem(), values, field{}, "")
	return m
}

// MergeValid puts sources together and leaves out what does not fit together. A problem with what one source says has
// that as its source, and its place there.
func MergeValid(layers ...Layer) (Merged, []Problem) {
	m := Merge(layers...)
	problems := Validate(&m.Config)
	said := m.Settings
	for i := range problems {
		problems[i].locate(said, layers)
	}
	m.Settings = Merge(Layer{Config: m.Config}).Settings
	for i, s := range m.Settings {
		// Of a bridge of which nothing but the name is left, what was below it says who has named it.
		at := slices.IndexFunc(said, func(o Setting) bool { return strings.HasPrefix(o.Key+".", s.Key+".") })
		m.Settings[i].Source = said[at].Source
	}
	return m, problems
}

// locate finds the one source that has set the key of a problem, or all that is below it.
func (p *Problem) locate(settings []Setting, layers []Layer) {
	for _, s := range settings {
		switch {
		case !strings.HasPrefix(s.Key+".", p.Key+"."):
		case p.Source != "" && p.Source != s.Source:
			p.Source = ""
			return
		default:
			p.Source = s.Source
		}
	}
	for _, l := range layers {
		if l.Source == p.Source {
			at := nearest(l.places, p.Key)
			p.Line, p.Column = at.line, at.column
			return
		}
	}
}

// source is what a source says about a key.
type source struct {
	name string
	v    reflect.Value
}

func (m *Merged) merge(to reflect.Value, from []source, f field, key string) {
	switch {
	case to.Kind() == reflect.Struct && !isLeaf(to.Type()):
		for _, f := range fieldsOf(to.Type()) {
			below := make([]source, len(from))
			for i, s := range from {
				below[i] = source{s.name, s.v.Field(f.index)}
			}
			m.merge(to.Field(f.index), below, f, join(key, f.name))
		}
	case to.Kind() == reflect.Map:
		m.mergeMap(to, from, f, key)
	default:
		for _, s := range from {
			if !s.v.IsZero() {
				to.Set(s.v)
				m.Settings = append(m.Settings, Setting{key, f.text(s.v), s.name})
				return
			}
		}
	}
}

// mergeMap puts the entries of each name together.
func (m *Merged) mergeMap(to reflect.Value, from []source, f field, key string) {
	entries := map[string][]source{}
	for _, s := range from {
		for _, name := range s.v.MapKeys() {
			entries[name.String()] = append(entries[name.String()], source{s.name, s.v.MapIndex(name)})
		}
	}
	if len(entries) == 0 {
		return
	}
	to.Set(reflect.MakeMap(to.Type()))
	for _, name := range sorted(entries) {
		element := reflect.New(to.Type().Elem()).Elem()
		before := len(m.Settings)
		m.merge(element, entries[name], f, join(key, name))
		if len(m.Settings) == before { // a bridge of which nothing but the name is given
			m.Settings = append(m.Settings, Setting{join(key, name), "", entries[name][0].name})
		}
		to.SetMapIndex(reflect.ValueOf(name), element)
	}
}

// text shows a value of a field.
func (f field) text(v reflect.Value) string {
	if f.secret() {
		return masked
	}
	return printable.Line(withoutPasswords(show(v)))
}

func show(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Bool:
		if v.Elem().Bool() {
			return "yes"
		}
		return "no"
	case v.Kind() == reflect.Pointer:
		return show(v.Elem())
	case v.Kind() == reflect.Slice:
		var list []string
		for i := range v.Len() {
			list = append(list, show(v.Index(i)))
		}
		return "[" + strings.Join(list, ", ") + "]"
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[netip.Addr]() &&
		v.Type() != reflect.TypeFor[netip.Prefix]():
		var list []string
		for _, f := range fieldsOf(v.Type()) {
			if !v.Field(f.index).IsZero() {
				list = append(list, f.name+": "+f.text(v.Field(f.index)))
			}
		}
		return "{" + strings.Join(list, ", ") + "}"
	}
	return fmt.Sprint(v.Interface())
}

// DropNetwork takes out the network, and what is said of guests' networks.
func (c *Config) DropNetwork() {
	c.Network, c.DNS = Network{}, DNS{}
	for name, guest := range c.Guests {
		guest.Network = GuestNetwork{}
		if reflect.ValueOf(guest).IsZero() {
			delete(c.Guests, name) // else it would be a guest that is named, of which nothing is said
		} else {
			c.Guests[name] = guest
		}
	}
}

// DropEarly takes out what has to be known before there is a network, and returns the keys.
func (c *Config) DropEarly() []string {
	var keys []string
	if c.Network.DefaultBridge != "" {
		keys, c.Network.DefaultBridge = append(keys, "network.default-bridge"), ""
	}
	if c.Services.Board != nil {
		keys, c.Services.Board = append(keys, "services.board"), nil
	}
	if c.Stores.State != "" {
		keys, c.Stores.State = append(keys, "stores.state"), ""
	}
	return keys
}
