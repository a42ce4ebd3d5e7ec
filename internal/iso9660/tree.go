package iso9660

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// node is a directory or a file of the tree.
type node struct {
	name     string
	ident    identifier
	parent   *node // the root is its own
	file     *File // nil: a directory
	children map[string]*node
	sorted   []*node // children in the order of their identifiers
	number   uint16  // of a directory in the path table, from 1
	lba      uint32  // of a directory's extent
	size     uint32  // of a directory's extent, bytes
}

func (n *node) directory() bool { return n.file == nil }

func newDirectory(name string, parent *node) *node {
	return &node{name: name, parent: parent, children: map[string]*node{}}
}

// newTree makes the tree of files, with identifiers given and children sorted.
func newTree(files []File) (*node, error) {
	root := newDirectory("", nil)
	root.parent = root
	for i := range files {
		if err := root.add(&files[i]); err != nil {
			return nil, err
		}
	}
	root.sort()
	return root, nil
}

// add hangs file below n, making the directories that lead to it.
func (n *node) add(file *File) error {
	parts := strings.Split(file.Path, "/")
	for _, name := range parts[:len(parts)-1] {
		child := n.children[name]
		if child == nil {
			child = newDirectory(name, n)
			n.children[name] = child
		}
		if !child.directory() {
			return fmt.Errorf("file %q: %q is a file too, not a directory", file.Path, child.file.Path)
		}
		n = child
	}
	name := parts[len(parts)-1]
	if n.children[name] != nil {
		return fmt.Errorf("file %q: given twice, or also as a directory", file.Path)
	}
	n.children[name] = &node{name: name, parent: n, file: file}
	return nil
}

// sort identifies and orders the children of n and of every directory below. ECMA-119 section
// 9.3 orders identifiers as if padded with spaces, which for our characters is the order of bytes.
func (n *node) sort() {
	names := newUniquifier()
	for _, child := range byName(n.children) {
		child.ident = names.identify(child.name, child.directory())
		n.sorted = append(n.sorted, child)
		if child.directory() {
			child.sort()
		}
	}
	slices.SortFunc(n.sorted, func(a, b *node) int { return cmp.Compare(a.ident.String(), b.ident.String()) })
}

func byName(children map[string]*node) []*node {
	nodes := make([]*node, 0, len(children))
	for _, child := range children {
		nodes = append(nodes, child)
	}
	slices.SortFunc(nodes, func(a, b *node) int { return cmp.Compare(a.name, b.name) })
	return nodes
}

// directories lists root and every directory below in the order of the path table (level, then
// parent, then identifier; ECMA-119 section 6.9.1) and numbers them.
func directories(root *node) ([]*node, error) {
	list := []*node{root}
	for i := 0; i < len(list); i++ {
		if i == math.MaxUint16 {
			return nil, fmt.Errorf("directory %q: one too many, an image has at most %d", list[i].name, math.MaxUint16)
		}
		list[i].number = uint16(i + 1)
		for _, child := range list[i].sorted {
			if child.directory() {
				list = append(list, child)
			}
		}
	}
	return list, nil
}

// subdirectories counts the directories right below n.
func (n *node) subdirectories() uint32 {
	var count uint32
	for _, child := range n.sorted {
		if child.directory() {
			count++
		}
	}
	return count
}
