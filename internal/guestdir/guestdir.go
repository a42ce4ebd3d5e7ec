// Package guestdir puts guest directories of this machine onto a disc. Building and remastering share its
// rules.
package guestdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/iso9660"
	"github.com/zerodisc/zerodisc/internal/printable"
)

// Present are the guests that a disc already has.
type Present struct {
	Owner  string          // of all of them, for errors: "the demo"
	Remedy string          // follows ", or " in errors: what to do instead of choosing another name; "" if nothing
	Names  map[string]bool // of the guests
	Dirs   map[string]bool // their directories below boot.MediumGuests
}

// Taken is what goes onto a disc of directories that a person named.
type Taken struct {
	Guests  []*guests.Resolved
	Files   []iso9660.File
	LeftOut []string // what is there and does not, each with the reason, for a person
}

// Take reads the guests in dirs, each a guest directory (one with a *.cfg) or a store of such, and
// refuses those that no machine could start, or that would take the place of another, naming every
// one of them. What depends on the machine, such as its memory, is for the machine to check. Only the directories of
// those guests are taken, and of these nothing hidden unless a configuration names it: whoever keeps guests in a Git
// repository does not want its credentials on a disc.
func Take(dirs []string, present Present) (*Taken, error) {
	taken := &Taken{}
	var err error
	if taken.Guests, err = check(dirs, present); err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		if err := taken.noteStrays(dir); err != nil {
			return nil, err
		}
	}
	for _, guest := range taken.Guests {
		if err := taken.add(guest); err != nil {
			return nil, err
		}
	}
	return taken, nil
}

func check(dirs []string, present Present) ([]*guests.Resolved, error) {
	machine := guests.Machine{HVM: true, Kernel: boot.MediaMount + "/" + boot.MediumKernel, Elsewhere: true}
	found, broken := guests.Collect(dirs...)
	var faults []error
	for _, e := range broken {
		faults = append(faults, e)
	}
	var domains []*guests.Resolved
	for _, guest := range guests.Trust(found) { // they are the person's own, and the disc's stay trusted
		domain, err := guest.Resolve(machine)
		if err != nil {
			faults = append(faults, err)
		}
		domains = append(domains, domain)
		if present.Names[guest.Name] {
			faults = append(faults, fmt.Errorf("%s: the name %q is that of a guest of %s; give it another name%s",
				guest.File, guest.Name, present.Owner, present.remedy()))
		}
	}
	return domains, errors.Join(append(faults, present.sharedPlaces(found)...)...)
}

func (p Present) remedy() string {
	if p.Remedy == "" {
		return ""
	}
	return ", or " + p.Remedy
}

// sharedPlaces names the guests whose directories would become one on the disc, which keeps only the last
// part of a directory's path.
func (p Present) sharedPlaces(found []*guests.Guest) (faults []error) {
	taken := map[string]string{}
	for _, guest := range found {
		base := filepath.Base(guest.Dir)
		by, remedy := taken[base], ""
		if p.Dirs[base] {
			by, remedy = p.Owner, p.remedy()
		}
		if by != "" {
			faults = append(faults, fmt.Errorf(
				"%s: its directory's place on the disc, /%s/%s, is taken by %s; rename the directory%s",
				guest.File, boot.MediumGuests, base, by, remedy))
			continue
		}
		taken[base] = guest.File
	}
	return faults
}

// maxLeftOut is how many of the files left out are named.
const maxLeftOut = 8

// Summary says in lines for a person what is left out.
func (t *Taken) Summary() []string {
	if len(t.LeftOut) == 0 {
		return nil
	}
	lines := []string{"left out of the disc:"}
	for _, name := range t.LeftOut[:min(maxLeftOut, len(t.LeftOut))] {
		lines = append(lines, "  "+name)
	}
	if more := len(t.LeftOut) - maxLeftOut; more > 0 {
		lines = append(lines, fmt.Sprintf("  and %d more", more))
	}
	return lines
}

// Place is where the guest directory dir of this machine lies on the disc.
func Place(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	return path.Join(boot.MediumGuests, filepath.Base(abs)), err
}

// noteStrays notes what of a store is in no guest's directory.
func (t *Taken) noteStrays(dir string) error {
	if guests.IsGuest(dir) {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("guests: %w", err)
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if !slices.ContainsFunc(t.Guests, func(g *guests.Resolved) bool { return g.Dir == name }) {
			t.leaveOut(name, "in no guest's directory")
		}
	}
	return nil
}

func (t *Taken) leaveOut(name, why string) {
	t.LeftOut = append(t.LeftOut, fmt.Sprintf("%s (%s)", printable.Line(name), why))
}

// add takes a guest's directory.
func (t *Taken) add(guest *guests.Resolved) error {
	at, err := Place(guest.Dir)
	if err != nil {
		return err
	}
	root, err := filepath.EvalSymlinks(guest.Dir) // WalkDir does not follow a link, not even its root
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == root {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		name = filepath.Join(guest.Dir, rel)
		if entry.IsDir() {
			return t.enter(guest, name)
		}
		if hidden(rel) && !slices.Contains(guest.Files, name) {
			t.leaveOut(name, "hidden")
			return nil
		}
		file, err := fileOf(name, path.Join(at, filepath.ToSlash(rel)))
		t.Files = append(t.Files, file)
		return err
	})
}

// enter notes a directory of a guest's that the disc will not have.
func (t *Taken) enter(guest *guests.Resolved, dir string) error {
	names := func(file string) bool { return strings.HasPrefix(file, dir+string(filepath.Separator)) }
	if hidden(filepath.Base(dir)) && !slices.ContainsFunc(guest.Files, names) {
		t.leaveOut(dir, "hidden")
		return fs.SkipDir
	}
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) == 0 {
		t.leaveOut(dir, "an empty directory")
	}
	return err
}

// hidden says whether a part of a path begins with a dot.
func hidden(name string) bool {
	return strings.Contains(string(filepath.Separator)+name, string(filepath.Separator)+".")
}

// fileOf is a regular file of this machine as the file at of the image. Symbolic links are followed when they
// lead to a file; anything else is refused.
func fileOf(name, at string) (iso9660.File, error) {
	content, info, err := iso9660.FromFile(name)
	if err != nil {
		return iso9660.File{}, err
	}
	return iso9660.File{Path: at, Content: content, Executable: info.Mode()&0o111 != 0}, nil
}
