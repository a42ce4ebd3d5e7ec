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

// merge makes the merged directory. It is made for each build anew: 7,000 links take 0.1 s, less than to check that
// an older one has not lost or won any.
func (t *Tree) merge(opts Options) (string, error) {
	dir, err := mergedDir(opts)
	if err != nil {
		return "", err
	}
	for _, p := range t.paths {
		if err := place(t.entries[p], filepath.Join(dir, filepath.FromSlash(p))); err != nil {
			return "", fmt.Errorf("%s: %w", p, err)
		}
	}
	for _, name := range mergedLinks {
		if err := os.Symlink("usr/"+name, filepath.Join(dir, name)); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// mergedDir makes the empty merged directory.
func mergedDir(opts Options) (string, error) {
	if opts.Root == "" {
		return opts.Cache.Temp("merged")
	}
	if err := os.RemoveAll(opts.Root); err != nil {
		return "", err
	}
	return opts.Root, os.MkdirAll(opts.Root, 0o755)
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
