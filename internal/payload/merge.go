package payload

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// mergedLinks make the merged directory look like an installed system.
var mergedLinks = []string{"bin", "sbin", "lib", "lib64"}

// materialise makes the merged directory unless it is there and intact.
func (t *Tree) materialise(opts Options) (string, error) {
	dir := opts.path("merged", t.Resolution.key())
	if intact(dir, t.nodes()) {
		return dir, nil
	}
	tmp, err := os.MkdirTemp(opts.path("tmp"), "merge-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	for _, p := range t.paths {
		if err := place(t.entries[p], filepath.Join(tmp, filepath.FromSlash(p))); err != nil {
			return "", fmt.Errorf("%s: %w", p, err)
		}
	}
	for _, name := range mergedLinks {
		if err := os.Symlink("usr/"+name, filepath.Join(tmp, name)); err != nil {
			return "", err
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", err
	}
	return dir, os.Rename(tmp, dir)
}

// nodes is what the merged directory must hold.
func (t *Tree) nodes() []node {
	list := make([]node, 0, len(t.paths))
	for _, p := range t.paths {
		e := t.entries[p]
		list = append(list, node{Path: strings.TrimPrefix(p, "/"), Mode: e.Mode, Size: e.Size})
	}
	return list
}

// place makes one entry at dst. A file is a second name of the cache's; where the file system
// of the cache has no hard links, as some shared folders, a symbolic link stands in.
func place(e Entry, dst string) error {
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return err
	}
	switch e.Mode.Type() {
	case fs.ModeDir:
		if err := os.MkdirAll(dst, 0o755); err != nil {
			return err
		}
		// Whatever the umask: tools that pack directories keep the modes.
		return os.Chmod(dst, e.Mode.Perm()|0o700)
	case fs.ModeSymlink:
		return os.Symlink(relativeLink(e), dst)
	}
	if err := os.Link(e.Host, dst); err == nil {
		return nil
	}
	return os.Symlink(e.Host, dst)
}

// relativeLink is a link's target seen from the directory the link is in.
func relativeLink(e Entry) string {
	if !path.IsAbs(e.Link) {
		return e.Link
	}
	up := strings.Repeat("../", strings.Count(path.Dir(e.Path), "/"))
	if path.Dir(e.Path) == "/" {
		up = ""
	}
	return up + strings.TrimPrefix(path.Clean(e.Link), "/")
}
