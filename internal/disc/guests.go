package disc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/iso9660"
)

// checkGuests refuses a disc with guests that no machine could start, naming every one of them.
// What depends on the machine, such as its memory, is for the machine to check.
func (b *builder) checkGuests(context.Context) error {
	machine := guests.Machine{HVM: true, Kernel: boot.MediaMount + "/" + boot.MediumKernel, Elsewhere: true}
	found, broken := guests.Collect(b.Guests...)
	var faults []error
	for _, e := range broken {
		faults = append(faults, e)
	}
	for _, guest := range found {
		if _, err := guest.Resolve(machine); err != nil {
			faults = append(faults, err)
		}
		if slices.Contains(demoGuests, guest.Name) {
			faults = append(faults, fmt.Errorf("%s: the name %q is that of a guest of the demo; give it another name", guest.File, guest.Name))
		}
	}
	return errors.Join(append(faults, sharedPlaces(found)...)...)
}

// sharedPlaces names the guests whose directories would become one on the disc, where a directory has
// only the last part of its path left.
func sharedPlaces(found []*guests.Guest) (faults []error) {
	taken := map[string]string{}
	for _, name := range demoGuests {
		taken[name] = "the demo"
	}
	for _, guest := range found {
		base := filepath.Base(guest.Dir)
		if by, ok := taken[base]; ok {
			faults = append(faults, fmt.Errorf("%s: its directory's place on the disc, /%s/%s, is taken by %s; rename the directory",
				guest.File, boot.MediumGuests, base, by))
			continue
		}
		taken[base] = guest.File
	}
	return faults
}

// guestFiles lists the files of the guests in a directory of this machine: a guest directory (one
// with a *.cfg), or a store of them.
func guestFiles(dir string) ([]iso9660.File, error) {
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
	return dirFiles(dir, at)
}

// dirFiles lists the regular files below a directory of this machine as files of the image at the
// path at. Symbolic links are followed when they lead to a file; anything else is refused.
func dirFiles(dir, at string) ([]iso9660.File, error) {
	var files []iso9660.File
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, info, err := fileContent(name)
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

var errNotRegular = errors.New("not a regular file: only files and directories fit on the disc")

// fileContent is the content of a file of this machine.
func fileContent(name string) (*iso9660.Content, fs.FileInfo, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: %w", name, errNotRegular)
	}
	return openContent(name, info.Size()), info, nil
}
