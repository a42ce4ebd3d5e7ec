package iso9660

import (
	"fmt"
	"strings"
)

// Lengths of identifiers, ECMA-119 section 7.5.1: name and extension together have at most 30
// characters. The extension's share is ours.
const (
	maxIdent     = 30
	maxExtension = 8
)

// identifier is what readers without Rock Ridge show: capital letters, digits and underscores.
type identifier struct {
	base, extension string
}

// newIdentifier makes the identifier nearest to name. A directory's has no extension.
func newIdentifier(name string, directory bool) identifier {
	dot := strings.LastIndexByte(name, '.')
	if directory || dot <= 0 {
		return identifier{base: clip(dCharacters(name), maxIdent)}
	}
	extension := clip(dCharacters(name[dot+1:]), maxExtension)
	return identifier{base: clip(dCharacters(name[:dot]), maxIdent-len(extension)), extension: extension}
}

// numbered is the identifier with n in place of its last characters.
func (id identifier) numbered(n int) identifier {
	suffix := fmt.Sprintf("_%d", n)
	id.base = clip(id.base, maxIdent-len(id.extension)-len(suffix)) + suffix
	return id
}

// String joins the parts as they are compared; version and separators on the disc differ.
func (id identifier) String() string {
	if id.extension == "" {
		return id.base
	}
	return id.base + "." + id.extension
}

// onDisc is the identifier of a directory record: files carry both separators and a version.
func (id identifier) onDisc(directory bool) string {
	if directory {
		return id.base
	}
	return id.base + "." + id.extension + ";1"
}

// uniquifier gives the names of one directory identifiers that differ.
type uniquifier struct {
	taken map[string]bool
	next  map[string]int
}

func newUniquifier() *uniquifier {
	return &uniquifier{taken: map[string]bool{}, next: map[string]int{}}
}

// identify depends on the order of calls, so callers sort the names first.
func (u *uniquifier) identify(name string, directory bool) identifier {
	wanted := newIdentifier(name, directory)
	id := wanted
	for u.taken[id.String()] {
		u.next[wanted.String()]++
		id = wanted.numbered(u.next[wanted.String()])
	}
	u.taken[id.String()] = true
	return id
}

// dCharacters maps name, byte for byte, to the d-characters of ECMA-119 section 7.4.1.
func dCharacters(name string) string {
	mapped := []byte(strings.ToUpper(name))
	for i, c := range mapped {
		if !('A' <= c && c <= 'Z' || '0' <= c && c <= '9') {
			mapped[i] = '_'
		}
	}
	return string(mapped)
}

func clip(s string, n int) string {
	return s[:min(len(s), n)]
}
