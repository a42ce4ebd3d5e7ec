package udev

import (
	"slices"
	"strings"
)

// Properties are a device's KEY=VALUE pairs, in the order in which they were set.
type Properties []string

// Get returns the value of key, "" where there is none.
func (p Properties) Get(key string) string {
	if i := p.index(key); i >= 0 {
		return p[i][len(key)+1:]
	}
	return ""
}

func (p Properties) index(key string) int {
	return slices.IndexFunc(p, func(pair string) bool {
		return len(pair) > len(key) && pair[len(key)] == '=' && pair[:len(key)] == key
	})
}

var lineEnds = strings.NewReplacer("\n", "_", "\x00", "_")

// Set sets key. An empty value is none. Line breaks, which would end the pair in the database, become "_", as NUL does,
// which would end it in messages.
func (p *Properties) Set(key, value string) {
	i := p.index(key)
	if value == "" {
		if i >= 0 {
			*p = slices.Delete(*p, i, i+1)
		}
		return
	}
	pair := key + "=" + lineEnds.Replace(value)
	if i >= 0 {
		(*p)[i] = pair
		return
	}
	*p = append(*p, pair)
}
