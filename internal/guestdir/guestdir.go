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

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/iso9660"
)

// Present are the guests that a disc already has.
type Present struct {
	Owner  string          // of all of them, for errors: "the demo"
	Remedy string          // follows ", or " in errors: what to do instead of choosing another name; "" if nothing
	Names  map[string]bool // of the guests
	Dirs   map[string]bool // their directories below boot.MediumGuests
}

// Check reads the guests in dirs, each a guest directory (one with a *.cfg) or a store of them. The error
// names every guest that no machine could start or that would take another guest's place. What depends on
// the machine, such as its memory, is checked on the machine.
func Check(dirs []string, present Present) ([]*guests.Guest, error) {
	machine := guests.Machine{HVM: true, Kernel: boot.MediaMount + "/" + boot.MediumKernel, Elsewhere: true}
	found, broken := guests.Collect(dirs...)
	var faults []error
	for _, e := range broken {
		faults = append(faults, e)
	}
	for _, guest := range guests.Trust(found) { // they are the person's own, and the disc's stay trusted
		if _, err := guest.Resolve(machine); err != nil {
			faults = append(faults, err)
		}
		if present.Names[guest.Name] {
			faults = append(faults, fmt.Errorf("%s: the name %q is that of a guest of %s; give it another name%s",
				guest.File, guest.Name, present.Owner, present.remedy()))
		}
	}
	return found, errors.Join(append(faults, present.sharedPlaces(found)...)...)
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

// Files lists the files of the guests in a directory of this machine, which is a guest directory or a store
// of them. It follows symbolic links to files and refuses everything else that is no file or directory.
func Files(dir string) ([]iso9660.File, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("guests: %w", err)
	}
	at := boot.MediumGuests
	if guests.IsGuest(dir) {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		at = path.Join(at, filepath.Base(abs))
	}
	return filesBelow(dir, at)
}

// filesBelow lists the regular files below a directory of this machine as files of the image at the
// path at.
func filesBelow(dir, at string) ([]iso9660.File, error) {
	var files []iso9660.File
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, info, err := iso9660.FromFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		files = append(files, iso9660.File{
			Path: path.Join(at, filepath.ToSlash(rel)), Content: content, Executable: info.Mode()&0o111 != 0,
		})
		return err
	})
	return files, err
}
