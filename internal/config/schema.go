package config

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"reflect"
	"strconv"
)

// schema is a JSON Schema (draft 2020-12), as far as it is used here.
type schema struct {
	Schema               string             `json:"$schema,omitempty"`
	Title                string             `json:"title,omitempty"`
	Description          string             `json:"description,omitempty"`
	Type                 any                `json:"type,omitempty"` // a name or several
	Enum                 []string           `json:"enum,omitempty"`
	Pattern              string             `json:"pattern,omitempty"`
	Minimum              *int               `json:"minimum,omitempty"`
	Maximum              *int               `json:"maximum,omitempty"`
	Items                *schema            `json:"items,omitempty"`
	Properties           map[string]*schema `json:"properties,omitempty"`
	PropertyNames        *schema            `json:"propertyNames,omitempty"`
	AdditionalProperties any                `json:"additionalProperties,omitempty"` // a *schema or false
	Required             []string           `json:"required,omitempty"`
}

// never is for what has no other properties.
type never struct{}

// MarshalJSON writes what is not omitted like false.
func (never) MarshalJSON() ([]byte, error) { return []byte("false"), nil }

// Schema is the JSON Schema of zerodisc.yaml.
func Schema() ([]byte, error) {
	docs := map[string]string{}
	for _, k := range Keys() {
		docs[k.Path] = k.Doc
		if k.Default != "" {
			docs[k.Path] += "; default: " + k.Default
		}
	}
	s := structSchema(reflect.TypeFor[Config](), "", docs)
	s.Schema, s.Title = "https://json-schema.org/draft/2020-12/schema", "zerodisc.yaml"
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(s)
	return b.Bytes(), err
}

func structSchema(t reflect.Type, prefix string, docs map[string]string) *schema {
	s := &schema{Type: "object", Properties: map[string]*schema{}, AdditionalProperties: never{}}
	for _, f := range fieldsOf(t) {
		path := prefix + f.name
		p := valueSchema(f.typ, f, path, docs)
		p.Description = docs[path]
		s.Properties[f.name] = p
		if f.tag.Get("required") != "" {
			s.Required = append(s.Required, f.name)
		}
	}
	return s
}

func valueSchema(t reflect.Type, f field, path string, docs map[string]string) *schema {
	inner, below := elementOf(t, path)
	switch {
	case t.Kind() == reflect.Slice:
		return &schema{Type: "array", Items: valueSchema(inner, f, below, docs)}
	case t.Kind() == reflect.Map:
		name := &schema{Pattern: formats[f.tag.Get("key")].pattern}
		nullable := valueSchema(inner, f, below, docs)
		if nullable.Type == "object" {
			nullable.Type = []string{"object", "null"}
		}
		return &schema{Type: "object", PropertyNames: name, AdditionalProperties: nullable}
	case !isLeaf(t):
		return structSchema(t, below+".", docs)
	}
	return leafSchema(t, f)
}

// leafSchema is the schema of a value. YAML makes numbers and switches of some texts.
func leafSchema(t reflect.Type, f field) *schema {
	s := &schema{Type: []string{"string", "number", "boolean"}, Pattern: formats[f.tag.Get("format")].pattern}
	switch t {
	case reflect.TypeFor[*bool]():
		return &schema{Type: []string{"boolean", "string"}, Pattern: "^([Yy]es|[Nn]o|[Oo]n|[Oo]ff|true|false)$"}
	case reflect.TypeFor[int](), reflect.TypeFor[*int]():
		return &schema{Type: "integer", Minimum: number(f.tag.Get("min")), Maximum: number(f.tag.Get("max"))}
	case reflect.TypeFor[Size]():
		return &schema{Type: []string{"string", "integer"}, Pattern: "^[0-9]+[KMGTkmgt]?$"}
	case reflect.TypeFor[Duration]():
		return &schema{Type: "string", Pattern: `^([0-9.]+(h|m|s|ms))+$`}
	case reflect.TypeFor[MAC]():
		return &schema{Type: "string", Pattern: "^[0-9A-Fa-f][02468ACEace]([:-][0-9A-Fa-f]{2}){5}$"}
	case reflect.TypeFor[Rate]():
		return &schema{Type: "string", Pattern: "^[0-9]+ *([kKmMgG]bit/s|[kKmMgG]B/s)$"}
	case reflect.TypeFor[netip.Addr](), reflect.TypeFor[netip.Prefix]():
		s.Type = "string"
	}
	if choices := f.choices(); choices != nil {
		s.Type, s.Enum = "string", choices
	}
	return s
}

func number(text string) *int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return nil
	}
	return &n
}
