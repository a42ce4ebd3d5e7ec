package output

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/zerodisc/zerodisc/internal/atomicfile"
)

// Place is a file or a directory that a command line names.
type Place struct {
	Flag    string
	Name    string // "" where the flag was not given
	Written bool   // and not only read
	Whole   bool   // a directory that is replaced as a whole when it is written
}

// fate is what becomes of the place.
func (p Place) fate() string {
	if p.Whole {
		return "which is written as a whole"
	}
	return "which is to be a file"
}

// Distinct refuses places of which one would be lost when the other is written: the same file for two
// purposes, or something in what is replaced.
func Distinct(places ...Place) error {
	real := make([]string, len(places))
	for i, p := range places {
		var err error
		if real[i], err = absolute(p.Name); err != nil {
			return fmt.Errorf("%s %s: %w", p.Flag, p.Name, err)
		}
	}
	for i, a := range places {
		for j, b := range places {
			if a.Name == "" || b.Name == "" || i == j || !a.Written {
				continue
			}
			if real[i] == real[j] {
				return fmt.Errorf("%s and %s are the same place, %s; name two", a.Flag, b.Flag, a.Name)
			}
			if strings.HasPrefix(real[j], real[i]+string(filepath.Separator)) {
				return fmt.Errorf("%s %s lies in %s %s, %s; name a place outside of it",
					b.Flag, b.Name, a.Flag, a.Name, a.fate())
			}
		}
	}
	return nil
}

// absolute is the absolute path of name without symbolic links, as far as it is there.
func absolute(name string) (string, error) {
	name, _, err := atomicfile.Follow(filepath.Clean(name))
	if err != nil {
		return "", err
	}
	if name, err = filepath.Abs(name); err != nil {
		return "", err
	}
	missing := ""
	for dir := name; ; dir = filepath.Dir(dir) {
		if real, err := filepath.EvalSymlinks(dir); err == nil || dir == filepath.Dir(dir) {
			return filepath.Join(real, missing), nil
		}
		missing = filepath.Join(filepath.Base(dir), missing)
	}
}
