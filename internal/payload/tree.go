package payload

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Entry is one file of a Tree.
type Entry struct {
	Path    string      // in the tree: absolute, without links in the directory part
	Host    string      // where it is on this machine; never modify it
	Mode    fs.FileMode // type, permissions and set-id bits as packaged; the owner is root
	Size    int64       // bytes of a regular file
	Link    string      // target of a symbolic link as packaged
	Package *Package    // where it comes from; of a directory: the first package that has it
}

// Tree is the merged view of the files of all packages, with /bin, /sbin, /lib and /lib64 being
// the directories of the same name below /usr. It is not changed once made, so that several
// goroutines may use it.
type Tree struct {
	// Resolution lists the packages.
	Resolution *Resolution
	entries    map[string]Entry
	paths      []string // keys of entries, sorted
	root       string
}

// maxLinks is how many symbolic links one path may pass through, as in Linux.
const maxLinks = 40

// newTree merges the unpacked packages.
func newTree(opts Options, res *Resolution) (*Tree, error) {
	t := &Tree{Resolution: res, entries: map[string]Entry{}}
	for i := range res.Packages {
		p := &res.Packages[i]
		nodes, err := readNodes(opts, *p)
		if err != nil {
			return nil, fmt.Errorf("list files of %s: %w", p.Name, err)
		}
		if err := t.add(p, opts.unpacked(*p, filesDir), nodes); err != nil {
			return nil, err
		}
	}
	t.sort()
	root, err := t.merge(opts)
	if err != nil {
		return nil, fmt.Errorf("merge packages: %w", err)
	}
	t.root = root
	return t, nil
}

func (t *Tree) sort() { t.paths = slices.Sorted(maps.Keys(t.entries)) }

// add takes in one package. Two packages with the same file would need a diversion, which
// is made when packages are installed.
func (t *Tree) add(p *Package, dir string, nodes []node) error {
	for _, n := range nodes {
		if n.Mode.Type() == fs.ModeSymlink && "/usr/"+n.Path == usrMerged("/"+n.Path) {
			continue // base-files has /bin and its like as links: usrMerged does their work
		}
		e := Entry{
			Path:    usrMerged("/" + n.Path),
			Host:    filepath.Join(dir, filepath.FromSlash(n.Path)),
			Mode:    n.Mode,
			Size:    n.Size,
			Link:    n.Link,
			Package: p,
		}
		if !e.Mode.IsRegular() {
			e.Size = 0
		}
		old, exists := t.entries[e.Path]
		switch {
		case !exists:
			t.entries[e.Path] = e
		case !old.Mode.IsDir() || !e.Mode.IsDir():
			return fmt.Errorf("merge packages: %s is both in %s and in %s", e.Path, old.Package.Name, p.Name)
		}
	}
	return nil
}

// usrMerged maps a clean absolute path to where it is since Debian 12: /lib/x is /usr/lib/x.
func usrMerged(p string) string {
	top, _, _ := strings.Cut(p[1:], "/")
	switch top {
	case "bin", "sbin", "lib", "lib32", "lib64", "libx32":
		return "/usr" + p
	}
	return p
}

// Lookup finds a file by its absolute path and follows symbolic links inside the tree, in every
// part of the path. The error is fs.ErrNotExist when the path or a link's target is not there.
func (t *Tree) Lookup(name string) (Entry, error) { return t.resolve(name, true) }

// Lstat is Lookup that does not follow a symbolic link in the last part of the path.
func (t *Tree) Lstat(name string) (Entry, error) { return t.resolve(name, false) }

func (t *Tree) resolve(name string, last bool) (Entry, error) {
	var (
		at    = Entry{Path: "/", Mode: fs.ModeDir | 0o755}
		rest  = strings.TrimPrefix(path.Clean("/"+name), "/")
		links int
	)
	for rest != "" {
		part, tail, more := strings.Cut(rest, "/")
		e, ok := t.entries[usrMerged(path.Join(at.Path, part))]
		if !ok {
			return Entry{}, fmt.Errorf("%s is in no package of the payload: %w", name, fs.ErrNotExist)
		}
		if e.Mode.Type() != fs.ModeSymlink || (!more && !last) {
			at, rest = e, tail
			continue
		}
		if links++; links > maxLinks {
			return Entry{}, fmt.Errorf("%s: too many symbolic links", name)
		}
		// A link's target is seen from the directory the link is in; start again from the top.
		target := e.Link
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(e.Path), target)
		}
		at, rest = Entry{Path: "/", Mode: fs.ModeDir | 0o755}, strings.TrimPrefix(path.Join("/", target, tail), "/")
	}
	return at, nil
}

// Find is Lookup in the form package elfdeps takes: the real path in the tree and the path on
// this machine of a regular file.
func (t *Tree) Find(name string) (real, host string, ok bool) {
	e, err := t.Lookup(name)
	return e.Path, e.Host, err == nil && e.Mode.IsRegular()
}

// Glob lists the entries whose path matches a pattern of path.Match, sorted. The directory part
// is taken as it is: links are not followed, but /lib means /usr/lib.
func (t *Tree) Glob(pattern string) ([]Entry, error) {
	pattern = usrMerged(path.Join("/", pattern))
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	var found []Entry
	for _, p := range t.paths {
		if ok, _ := path.Match(pattern, p); ok {
			found = append(found, t.entries[p])
		}
	}
	return found, nil
}

// Under lists everything below a directory, sorted by path, the directory itself not included.
func (t *Tree) Under(dir string) ([]Entry, error) {
	at, err := t.Lookup(dir)
	if err != nil {
		return nil, err
	}
	prefix := strings.TrimSuffix(at.Path, "/") + "/"
	var found []Entry
	start, _ := slices.BinarySearch(t.paths, prefix)
	for _, p := range t.paths[start:] {
		if !strings.HasPrefix(p, prefix) {
			break
		}
		found = append(found, t.entries[p])
	}
	return found, nil
}

// Package finds a package of the payload by its name.
func (t *Tree) Package(name string) (Package, error) {
	for _, p := range t.Resolution.Packages {
		if p.Name == name {
			return p, nil
		}
	}
	return Package{}, fmt.Errorf("package %s is not in the payload: %w", name, fs.ErrNotExist)
}

// Root is a directory of this machine that holds the merged tree, for tools that read whole
// directories and for os.DirFS; it goes when the cache is closed. Its files are the cache's own: never
// modify them. Absolute symbolic links are made relative, so that they stay inside.
func (t *Tree) Root() string { return t.root }
