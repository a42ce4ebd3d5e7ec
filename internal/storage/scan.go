package storage

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/printable"
)

// storeDirs are the directories of a volume that hold guests. In a labelled volume its root does, too.
var storeDirs = []string{"zerodisc/guests", "guests"}

// maxEntries is how many names of a directory are looked at: a hostile file system may go on for ever.
const maxEntries = 4096

// maxBytes is how large all configurations of a volume may be, which stay in memory until all of it was looked at.
const maxBytes = 1 << 20

// Scan looks for guests in the file system that is mounted at dir: those of a labelled volume may be in its root, too.
func Scan(dir string, labelled bool) (found []*guests.Guest, faults []*guests.Error) {
	f := scan(dir, labelled)
	if f.unread != nil {
		f.faults = append(f.faults, f.unread)
	}
	return f.guests, f.faults
}

// scan looks for guests in the file system that is mounted at dir.
func scan(dir string, labelled bool) (f found) {
	for _, store := range storeDirs {
		f.store(dir, filepath.Join(dir, store), false)
	}
	if labelled {
		f.store(dir, dir, true)
	}
	return f
}

// store looks for guests in one directory. In the root of a volume, directories without a configuration are none of its
// business.
func (f *found) store(root, dir string, isRoot bool) {
	err := guests.Within(root, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var entries []fs.DirEntry
	if err == nil {
		entries, err = list(dir)
	}
	if err != nil {
		f.unread = cmp.Or(f.unread, asError(dir, err))
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if e.Name() != printable.Line(e.Name()) { // nor is it opened: see guests.Within
			if !isRoot {
				f.fault(name, errors.New("its name has a character that cannot be printed"))
			}
			continue
		}
		isOther := isRoot && (e.Name() == "zerodisc" || e.Name() == "guests" || !guests.IsGuest(name))
		if e.Name()[0] == '.' || isOther {
			continue
		}
		f.guest(root, name)
	}
}

// guest loads the guest in a directory.
func (f *found) guest(root, dir string) {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		return
	}
	if err == nil {
		err = guests.Within(root, dir)
	}
	if err != nil {
		f.fault(dir, err)
		return
	}
	if f.bytes > maxBytes {
		return
	}
	guest, err := guests.LoadFrom(root, dir)
	if err != nil {
		f.fault(dir, err)
		return
	}
	if info, err = os.Stat(guest.File); err == nil {
		f.bytes += info.Size()
	}
	if f.bytes > maxBytes {
		f.unread = cmp.Or(f.unread, asError(filepath.Dir(dir),
			fmt.Errorf("its configurations have more than %d bytes: from %s on they were not looked at",
				maxBytes, printable.Line(guest.Name))))
		return
	}
	f.guests = append(f.guests, guest)
}

// fault notes what is wrong with a directory.
func (f *found) fault(dir string, err error) { f.faults = append(f.faults, asError(dir, err)) }

func asError(dir string, err error) *guests.Error {
	var known *guests.Error
	if errors.As(err, &known) {
		return known
	}
	return &guests.Error{
		Guest: printable.Line(filepath.Base(dir)), File: printable.Line(dir),
		Problem: printable.Line(err.Error()), Remedy: "check the volume", Err: err,
	}
}

// list reads the names in a directory.
func list(dir string) ([]fs.DirEntry, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0) // to open a pipe might never end
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(maxEntries)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err == nil && len(entries) == maxEntries {
		err = fmt.Errorf("only the first %d names in it were looked at", maxEntries)
	}
	return entries, err
}
