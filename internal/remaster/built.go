package remaster

import (
	"errors"
	"fmt"
	"strings"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// builtName is the text on the disc that says what it was built from (package internal/disc).
const builtName = "BUILT"

// built is what the text of that name says.
type built struct {
	Version  string // of zerodisc
	ID       string // of the build
	Revision string // of the sources
	Packages []part // of Debian's
	Modules  []part // of Go's
}

// part is something of which the disc was built.
type part struct {
	Name, Version string
}

// parseBuilt reads the text. Lines that it does not know are skipped: later builds may say more.
func parseBuilt(text string) (built, error) {
	var b built
	var list *[]part
	for line := range strings.Lines(text) {
		line = printable.Line(strings.TrimSpace(line))
		name, value, _ := strings.Cut(line, " ")
		value = strings.TrimSpace(value)
		switch {
		case line == "":
			list = nil
		case strings.HasPrefix(line, "Debian packages:"):
			list = &b.Packages
		case strings.HasPrefix(line, "Go modules"):
			list = &b.Modules
		case list != nil:
			version, _, _ := strings.Cut(value, " ")
			*list = append(*list, part{Name: name, Version: version})
		case name == "zerodisc":
			b.Version = value
		case strings.HasPrefix(line, "build id"):
			b.ID = strings.TrimSpace(strings.TrimPrefix(line, "build id"))
		case name == "revision":
			b.Revision = value
		}
	}
	if b.Version == "" || b.ID == "" {
		return b, errors.New("it does not say which build of zerodisc this is")
	}
	return b, nil
}

// version of the first package whose name begins with prefix, "" for none.
func (b built) version(prefix string) string {
	for _, p := range b.Packages {
		if strings.HasPrefix(p.Name, prefix) {
			return p.Version
		}
	}
	return ""
}

// firmware says which microcode and firmware of drivers the disc carries, "" for none.
func (b built) firmware() string {
	var list []string
	drivers := 0
	for _, p := range b.Packages {
		switch {
		case strings.HasSuffix(p.Name, "-microcode"):
			list = append(list, p.Name+" "+p.Version)
		case strings.HasPrefix(p.Name, "firmware-"):
			drivers++
		}
	}
	if drivers > 0 {
		list = append(list, fmt.Sprintf("%d packages firmware-*", drivers))
	}
	return strings.Join(list, ", ")
}
