package output

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/zerodisc/zerodisc/internal/atomicfile"
	"github.com/zerodisc/zerodisc/internal/printable"
	"github.com/zerodisc/zerodisc/internal/sha256sums"
)

// Dir is a place for a directory of files, with the list of their sums, sha256sums.Name, among them. A
// directory that is there is replaced only if it is empty, or if all in it are files of Ours
// that are as the list says: then they were written here and not touched since.
type Dir struct {
	Flag string // by which it was named, for errors: "-netboot"
	Name string
	Kind string                 // what it is: "netboot tree"
	Ours func(path string) bool // whether a file of that path can be one of such a directory
}

// Check says whether the directory can be written, and writes nothing.
func (d Dir) Check() error {
	real, _, err := d.place()
	if err == nil {
		err = writable(filepath.Dir(real))
	}
	return d.wrap(err)
}

func (d Dir) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", d.Flag, d.Name, err)
}

// Write writes the directory: fill adds its files. It appears at its place when it is complete, with
// permissions that do not depend on the umask. An error, fill's own among them, leaves an older directory as
// it was, and nothing else.
func (d Dir) Write(fill func(*Tree) error) error {
	real, _, err := d.place()
	if err != nil {
		return d.wrap(err)
	}
	if err := os.MkdirAll(filepath.Dir(real), 0o755); err != nil {
		return d.wrap(err)
	}
	work, err := os.MkdirTemp(filepath.Dir(real), "."+filepath.Base(real)+".*")
	if err != nil {
		return d.wrap(err)
	}
	defer os.RemoveAll(work)
	t := &Tree{Dir: d, work: work}
	if err := fill(t); err != nil {
		return fmt.Errorf("%s: %w", d.Kind, err)
	}
	if err := t.finish(); err != nil {
		return fmt.Errorf("%s: %w", d.Kind, err)
	}
	return d.wrap(d.replace(work))
}

// place is where the links lead to, and the directories and files there, which are all this package's own. Something
// else is an error that names it.
func (d Dir) place() (real string, own *contents, err error) {
	if d.Name == "" {
		return "", nil, errors.New("the name is empty; name a directory")
	}
	real, info, err := atomicfile.Follow(filepath.Clean(d.Name))
	switch {
	case err != nil:
		return "", nil, err
	case info == nil:
		return real, nil, nil
	case !info.IsDir():
		return "", nil, errors.New("it is a file; name a directory")
	case isMountPoint(real):
		return "", nil, errors.New("it is a mount point, which cannot be renamed; name a directory in it")
	}
	own, err = d.read(real)
	return real, own, err
}

// contents are what a directory holds, by path, each below the one before.
type contents struct{ dirs, files []string }

// read lists what is in a directory, and refuses what was not written here.
func (d Dir) read(dir string) (*contents, error) {
	found := &contents{}
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == ".":
		case entry.IsDir():
			found.dirs = append(found.dirs, name)
		case entry.Type().IsRegular() && (name == sha256sums.Name || d.Ours(name)):
			found.files = append(found.files, name)
		default:
			return d.foreign(name)
		}
		return nil
	})
	if err != nil || len(found.dirs)+len(found.files) == 0 {
		return found, err
	}
	return found, d.compare(root, found)
}

func (d Dir) foreign(name string) error {
	return fmt.Errorf("it holds %s, which is no file of a %s; name a directory that is new or empty",
		printable.Line(name), d.Kind)
}

// maxSums is the size in bytes of the longest list of sums that is read.
const maxSums = 1 << 20

// compare holds what is in a directory to its list of sums.
func (d Dir) compare(root fs.FS, found *contents) error {
	listed, err := readSums(root)
	if err != nil {
		return fmt.Errorf("it is not empty and cannot be told from something else: %w; "+
			"name a directory that is new or empty", err)
	}
	leading := map[string]bool{}
	for name := range listed {
		for dir := path.Dir(name); dir != "." && !leading[dir]; dir = path.Dir(dir) {
			leading[dir] = true
		}
	}
	for _, dir := range found.dirs {
		if !leading[dir] {
			return d.foreign(dir)
		}
	}
	for _, name := range found.files {
		if name == sha256sums.Name {
			continue
		}
		want, ok := listed[name]
		if !ok {
			return d.foreign(name)
		}
		if sum, err := sumOf(root, name); err != nil {
			return err
		} else if sum != want {
			return fmt.Errorf("%s was changed since mkiso wrote it (%s has another sum); "+
				"move it away, or name another directory", name, sha256sums.Name)
		}
	}
	return nil
}

// readSums reads a directory's own list of sums.
func readSums(root fs.FS) (map[string][sha256.Size]byte, error) {
	f, err := root.Open(sha256sums.Name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := sha256sums.Parse(io.LimitReader(f, maxSums))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sha256sums.Name, err)
	}
	sums := map[string][sha256.Size]byte{}
	for _, sum := range list {
		sums[sum.Path] = sum.SHA256
	}
	return sums, nil
}

func sumOf(root fs.FS, name string) (sum [sha256.Size]byte, err error) {
	f, err := root.Open(name)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	hash := sha256.New()
	_, err = io.Copy(hash, f)
	return [sha256.Size]byte(hash.Sum(nil)), err
}

// replace gives the new directory its place. The old one is looked at again: writing took a while. It is
// renamed first, so that what is removed afterwards, file by file, is what was looked at.
func (d Dir) replace(work string) error {
	real, own, err := d.place()
	if err != nil {
		return err
	}
	if own == nil {
		return os.Rename(work, real)
	}
	old := work + ".old" // work's name is nobody else's
	if err := os.Rename(real, old); err != nil {
		return err
	}
	if err := os.Rename(work, real); err != nil {
		return errors.Join(err, os.Rename(old, real))
	}
	return own.remove(old)
}

// remove removes these files and directories, and dir itself. Where something has come into it meanwhile,
// that stays, and is an error.
func (c *contents) remove(dir string) error {
	names := slices.Concat([]string{"."}, c.dirs, c.files)
	for _, name := range slices.Backward(names) {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("remove the old one: %w", err)
		}
	}
	return nil
}

// Tree is a directory being written.
type Tree struct {
	Dir
	work string // where it is written
	sums []sha256sums.Sum
}

// File writes the file name, a path with slashes, of what write gives, and returns its sum.
func (t *Tree) File(name string, write func(io.Writer) error) (sum [sha256.Size]byte, err error) {
	if !t.Ours(name) {
		return sum, fmt.Errorf("write %s: a later build would not take it for a file of a %s", name, t.Kind)
	}
	return t.file(name, write)
}

func (t *Tree) file(name string, write func(io.Writer) error) (sum [sha256.Size]byte, err error) {
	at := filepath.Join(t.work, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return sum, err
	}
	f, err := os.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return sum, err
	}
	hash := sha256.New()
	err = write(io.MultiWriter(f, hash))
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return sum, fmt.Errorf("write %s: %w", name, err)
	}
	sum = [sha256.Size]byte(hash.Sum(nil))
	t.sums = append(t.sums, sha256sums.Sum{Path: path.Clean(name), SHA256: sum})
	return sum, nil
}

// finish writes the list of sums, by path, and sets the permissions.
func (t *Tree) finish() error {
	slices.SortFunc(t.sums, func(a, b sha256sums.Sum) int { return cmp.Compare(a.Path, b.Path) })
	var list bytes.Buffer
	if err := sha256sums.Format(&list, t.sums); err != nil {
		return err
	}
	_, err := t.file(sha256sums.Name, func(to io.Writer) error {
		_, err := list.WriteTo(to)
		return err
	})
	if err != nil {
		return err
	}
	return filepath.WalkDir(t.work, func(name string, entry fs.DirEntry, err error) error {
		perm := fs.FileMode(0o644)
		if err == nil && entry.IsDir() {
			perm = 0o755
		}
		return errors.Join(err, os.Chmod(name, perm))
	})
}
