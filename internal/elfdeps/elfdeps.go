// Package elfdeps finds the shared libraries that ELF programs need, the way the dynamic
// loader would (ld.so(8)), in a tree of files that is not this machine's.
//
// Only what is linked is found: libraries that a program opens with dlopen while it runs must be
// named by the caller.
package elfdeps

import (
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// Tree is where libraries are looked for. Find takes an absolute path and returns the path it
// leads to once links are followed, and where the regular file at its end is on this machine.
type Tree interface {
	Find(name string) (real, host string, ok bool)
}

// Library is one shared library, or the dynamic loader itself.
type Library struct {
	Name string // what programs ask for: the SONAME, such as "libz.so.1"
	Link string // absolute path it is found at; the same as Path, or a symbolic link to it
	Path string // the file itself, such as /usr/lib/x86_64-linux-gnu/libz.so.1.3.1
	Host string // where that file is on this machine
}

// Result is what a set of programs needs besides itself.
type Result struct {
	Libraries   []Library // sorted by Link; the loader is not among them
	Interpreter *Library  // its Link is the path programs name; nil when all programs are static
}

// defaultDirs is where Debian's loader looks after RPATH and RUNPATH. It also looks in the
// directories of these names outside /usr, which a merged tree does not have.
var defaultDirs = []string{"/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"}

// MissingError tells that a library or the loader is not in the tree.
type MissingError struct {
	Binary  string   // who asks for it
	Library string   // what it asks for
	Dirs    []string // where it was looked for
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s needs %s, which is not in %s: add the package that contains it",
		e.Binary, e.Library, strings.Join(e.Dirs, ", "))
}

// Closure returns all libraries the given files of the tree need, directly and through each
// other. A *MissingError tells which one is not there.
func Closure(tree Tree, files ...string) (*Result, error) {
	w := walk{tree: tree, found: map[string]Library{}, seen: map[string]bool{}}
	for _, file := range files {
		if err := w.visit(file, nil); err != nil {
			return nil, err
		}
	}
	return w.result(), nil
}

// walk is the state of one Closure.
type walk struct {
	tree   Tree
	found  map[string]Library // by Link
	interp *Library
	seen   map[string]bool // real paths visited
}

// visit reads one file and everything it needs. inherited are the RPATHs of those that need it: they
// count for it too, unlike RUNPATHs.
func (w *walk) visit(name string, inherited []string) error {
	real, host, ok := w.tree.Find(name)
	if !ok {
		return fmt.Errorf("find %s: %w", name, fs.ErrNotExist)
	}
	if w.seen[real] {
		return nil
	}
	w.seen[real] = true
	d, err := readFile(host)
	if err != nil {
		return fmt.Errorf("read %s: %w", real, err)
	}
	if err := w.setInterpreter(real, d.interp); err != nil {
		return err
	}
	// Where there is a RUNPATH, it counts and no RPATH does (ld.so(8)).
	own := expandOrigin(d.runpath, real)
	if len(own) == 0 {
		inherited = slices.Concat(expandOrigin(d.rpath, real), inherited)
		own = inherited
	}
	dirs := slices.Concat(own, defaultDirs)
	for _, soname := range d.needed {
		lib, err := w.locate(real, soname, dirs)
		if err != nil {
			return err
		}
		w.found[lib.Link] = lib
		if err := w.visit(lib.Link, inherited); err != nil {
			return err
		}
	}
	return nil
}

// locate finds the library binary asks for.
func (w *walk) locate(binary, soname string, dirs []string) (Library, error) {
	if strings.Contains(soname, "/") {
		dirs = []string{path.Dir(soname)}
	}
	for _, dir := range dirs {
		link := path.Join(dir, path.Base(soname))
		real, host, ok := w.tree.Find(link)
		if !ok || !loadable(host) {
			continue
		}
		return Library{Name: soname, Link: realDir(w.tree, link, real), Path: real, Host: host}, nil
	}
	return Library{}, &MissingError{Binary: binary, Library: soname, Dirs: dirs}
}

// result sorts what was found and takes the loader, which libc itself needs, out of it.
func (w *walk) result() *Result {
	r := &Result{Interpreter: w.interp}
	for _, lib := range w.found {
		if w.interp == nil || lib.Path != w.interp.Path {
			r.Libraries = append(r.Libraries, lib)
		}
	}
	slices.SortFunc(r.Libraries, func(a, b Library) int { return cmp.Compare(a.Link, b.Link) })
	return r
}

func (w *walk) setInterpreter(binary, interp string) error {
	if interp == "" || w.interp != nil && w.interp.Link == interp {
		return nil
	}
	real, host, ok := w.tree.Find(interp)
	if !ok {
		return &MissingError{Binary: binary, Library: path.Base(interp), Dirs: []string{path.Dir(interp)}}
	}
	if w.interp != nil {
		return fmt.Errorf("%s wants the loader %s, others want %s", binary, interp, w.interp.Link)
	}
	w.interp = &Library{Name: path.Base(interp), Link: interp, Path: real, Host: host}
	return nil
}

// dynamic is what the loader reads of a file.
type dynamic struct {
	interp         string
	needed         []string
	rpath, runpath []string
}

func readFile(host string) (dynamic, error) {
	f, err := os.Open(host)
	if err != nil {
		return dynamic{}, err
	}
	defer f.Close()
	return readDynamic(f)
}

// readDynamic reads a file's dynamic section; a static program has none.
func readDynamic(r io.ReaderAt) (dynamic, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return dynamic{}, err
	}
	if f.Machine != elf.EM_X86_64 {
		return dynamic{}, fmt.Errorf("made for %v instead of x86-64", f.Machine)
	}
	var d dynamic
	if d.interp, err = readInterp(f); err != nil {
		return d, err
	}
	for _, field := range []struct {
		tag elf.DynTag
		dst *[]string
	}{
		{elf.DT_NEEDED, &d.needed},
		{elf.DT_RPATH, &d.rpath},
		{elf.DT_RUNPATH, &d.runpath},
	} {
		values, err := f.DynString(field.tag)
		if err != nil {
			return d, fmt.Errorf("%v: %w", field.tag, err)
		}
		*field.dst = values
	}
	d.rpath, d.runpath = splitDirs(d.rpath), splitDirs(d.runpath)
	return d, nil
}

// maxInterp bounds the path of the loader (PATH_MAX).
const maxInterp = 4096

func readInterp(f *elf.File) (string, error) {
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		if p.Filesz > maxInterp {
			return "", errors.New("path of the loader is too long")
		}
		raw := make([]byte, p.Filesz)
		if _, err := p.ReadAt(raw, 0); err != nil {
			return "", fmt.Errorf("read path of the loader: %w", err)
		}
		return strings.TrimRight(string(raw), "\x00"), nil
	}
	return "", nil
}

// loadable tells whether the loader would take a file: it passes over those made for another machine.
func loadable(host string) bool {
	f, err := elf.Open(host)
	if err != nil {
		return false
	}
	defer f.Close()
	return f.Machine == elf.EM_X86_64
}

// splitDirs splits colon-separated lists of directories.
func splitDirs(lists []string) []string {
	var dirs []string
	for _, list := range lists {
		for dir := range strings.SplitSeq(list, ":") {
			if dir != "" {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}

// expandOrigin puts the directory of the file in place of $ORIGIN.
func expandOrigin(dirs []string, file string) []string {
	origin := path.Dir(file)
	replacer := strings.NewReplacer("${ORIGIN}", origin, "$ORIGIN", origin)
	expanded := make([]string, len(dirs))
	for i, dir := range dirs {
		expanded[i] = path.Clean(replacer.Replace(dir))
	}
	return expanded
}

// realDir is link with its directory as the tree has it: the directory of real where both end
// in the same one, so that a library found as /lib/x and as /usr/lib/x is one.
func realDir(tree Tree, link, real string) string {
	candidate := path.Join(path.Dir(real), path.Base(link))
	if again, _, ok := tree.Find(candidate); ok && again == real {
		return candidate
	}
	return link
}
