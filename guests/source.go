package guests

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// Source is where a guest comes from: what it takes to read it anew. The zero Source is that of a guest that
// nobody knows a directory of.
type Source struct {
	Dir     string `json:",omitempty"` // as Guest has it
	Root    string `json:",omitempty"`
	Name    string `json:",omitempty"` // that it had when it was read; it may have been renamed since
	Trusted bool   `json:",omitempty"`
}

// Source returns where the guest was read.
func (g *Guest) Source() Source {
	return Source{Dir: g.Dir, Root: g.Root, Name: g.Name, Trusted: g.Trusted}
}

// At is the source of a guest that could not be read, by its error. root and trusted are as Guest has them.
func (e *Error) At(root string, trusted bool) Source {
	dir := e.File
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		dir = filepath.Dir(dir)
	}
	return Source{Dir: dir, Root: root, Name: e.Guest, Trusted: trusted}
}

// Load reads the guest anew. Errors are *Error.
func (s Source) Load() (*Guest, error) {
	if _, err := os.Stat(s.Dir); errors.Is(err, fs.ErrNotExist) {
		fault := newError(s.Dir, Pos{}, "the guest's directory is not there any more",
			"plug in the volume that had it; what a web server had was removed when it was not started", err)
		return nil, asError(fault, s.Name, s.Dir)
	}
	g, err := LoadFrom(s.Root, s.Dir)
	if err != nil {
		return nil, err
	}
	g.Trusted = s.Trusted
	return g, nil
}

// Printable is the source as it may be shown. A directory whose name cannot be printed is not found by it; no store
// takes guests from one.
func (s Source) Printable() Source {
	s.Dir, s.Root, s.Name = printable.Line(s.Dir), printable.Line(s.Root), printable.Line(s.Name)
	return s
}

// CheckName is an error where a guest cannot have that name.
func CheckName(name string) error {
	if fault := nameFault(name); fault != "" {
		return fmt.Errorf("%q cannot be a guest's name: %s", printable.Line(name), fault)
	}
	return nil
}
