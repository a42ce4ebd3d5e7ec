package media

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/printable"
)

// Limits of the search in one file system: what people put ISO files into is near the root, and a
// damaged or hostile file system may go on for ever.
const (
	searchDepth = 3     // directories below the root, as in Users/NAME/Downloads
	searchNames = 20000 // of files and directories
)

// systemDirs are directories of the root, in lower case, that are large and no place for ISO files.
var systemDirs = []string{
	"$recycle.bin", "program files", "program files (x86)", "programdata", "system volume information", "windows",
	"bin", "dev", "etc", "gnu", "lib", "lib32", "lib64", "nix", "proc", "sbin", "sys", "usr",
}

var errUnfinished = errors.New("the time was up before all of it was searched")

var errTooMany = fmt.Errorf("only the first %d names were looked at, say where it is with %s=PATH",
	searchNames, boot.KeyISOFile)

// listISOs lists the files of fsys that are called *.iso, those nearest to the root first. With
// an error it lists what could be read.
func listISOs(ctx context.Context, fsys fs.FS) ([]string, error) {
	w := walk{fsys: fsys, left: searchNames}
	dirs := []string{"."}
	for range searchDepth + 1 {
		var below []string
		for _, dir := range dirs {
			if ctx.Err() != nil {
				return w.files, errUnfinished
			}
			below = append(below, w.read(dir)...)
		}
		dirs = below
	}
	return w.files, w.err
}

// walk is one walk through directories.
type walk struct {
	fsys  fs.FS
	left  int      // how many names may still be read
	files []string // called *.iso
	err   error    // the first thing that went wrong
}

// read looks at the names in dir and returns the directories among them.
func (w *walk) read(dir string) []string {
	entries, err := w.entries(dir)
	w.err = cmp.Or(w.err, err)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	var dirs []string
	for _, e := range entries {
		name, lower := path.Join(dir, e.Name()), strings.ToLower(e.Name())
		switch {
		case e.IsDir() && !(dir == "." && slices.Contains(systemDirs, lower)):
			dirs = append(dirs, name)
		case e.Type().IsRegular() && path.Ext(lower) == ".iso":
			w.files = append(w.files, name)
		}
	}
	return dirs
}

// entries reads the directory dir as far as the walk may. An error comes with what was read before.
func (w *walk) entries(dir string) ([]fs.DirEntry, error) {
	w.left-- // an empty directory costs, too
	if w.left <= 0 {
		return nil, errTooMany
	}
	f, err := w.fsys.Open(dir)
	if err != nil {
		return nil, about(dir, err)
	}
	defer f.Close()
	d, ok := f.(fs.ReadDirFile)
	if !ok {
		return nil, about(dir, errors.New("not a directory"))
	}
	entries, err := d.ReadDir(w.left)
	w.left -= len(entries)
	if err == nil || errors.Is(err, io.EOF) { // it is empty
		return entries, nil
	}
	return entries, about(dir, err)
}

// about says of an error which file or directory it is about. Its name may be anything.
func about(name string, err error) error {
	var of *fs.PathError
	if errors.As(err, &of) {
		err = of.Err // without the name as it is
	}
	return fmt.Errorf("/%s: %w", printable.Line(strings.TrimPrefix(name, ".")), err)
}
