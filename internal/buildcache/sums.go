package buildcache

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"
)

// sumsSuffix is that of the file with an entry's sums.
const sumsSuffix = ".sums"

// Sums describes a file, or a directory and everything in it. Each has a line: its type and permissions, its
// path below root, and the SHA-256 of a regular file or the target of a symbolic link.
func Sums(root string) ([]byte, error) {
	nodes, err := list(root)
	if err != nil {
		return nil, err
	}
	lines := make([]string, len(nodes))
	var group errgroup.Group
	group.SetLimit(runtime.NumCPU())
	for i, n := range nodes {
		group.Go(func() (err error) {
			lines[i], err = n.describe(root)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return []byte(strings.Join(lines, "")), nil
}

// node is something in a tree of files.
type node struct {
	path string // below the root; "." for the root itself
	mode fs.FileMode
}

// list lists what there is at and below root, in lexical order.
func list(root string) ([]node, error) {
	var nodes []node
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		path, err := filepath.Rel(root, name)
		nodes = append(nodes, node{path, info.Mode()})
		return err
	})
	return nodes, err
}

// describe is the node's line.
func (n node) describe(root string) (string, error) {
	name := filepath.Join(root, n.path)
	content := ""
	var err error
	switch n.mode.Type() {
	case 0:
		content, err = sum(name)
	case fs.ModeSymlink:
		content, err = os.Readlink(name)
	}
	return fmt.Sprintf("%v %q %q\n", n.mode, n.path, content), err
}

// sum is the SHA-256 of a file's contents.
func sum(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
