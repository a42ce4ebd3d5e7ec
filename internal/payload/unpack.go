package payload

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// node is one file of an unpacked package as its archive describes it.
type node struct {
	Path string      `json:"path"` // slash-separated, relative, clean
	Mode fs.FileMode `json:"mode"` // type, permissions, set-id bits
	Size int64       `json:"size,omitempty"`
	Link string      `json:"link,omitempty"` // target of a symbolic link
}

// An unpacked package is a directory with these two.
const (
	filesDir = "files"
	listName = "list.json" // its nodes
)

// unpacked is a path in the directory of an unpacked package.
func (o Options) unpacked(p Package, elem string) string {
	return o.Cache.Path(unpackedKind, p.SHA256, elem)
}

// unpackAll unpacks packages, the largest first because it takes as long as all others together.
func unpackAll(ctx context.Context, opts Options, pkgs []Package) error {
	todo := slices.Clone(pkgs)
	slices.SortFunc(todo, func(a, b Package) int { return cmp.Compare(b.Size, a.Size) })
	var (
		group, groupCtx = errgroup.WithContext(ctx)
		mu              sync.Mutex
		report          = Progress{Step: "unpack", Total: totalSize(todo)}
	)
	group.SetLimit(runtime.NumCPU())
	for _, p := range todo {
		group.Go(func() error {
			if err := unpack(groupCtx, opts, p); err != nil {
				return fmt.Errorf("%s: %w", p.Name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			report.Done += p.Size
			opts.Progress(report)
			return nil
		})
	}
	return group.Wait()
}

// unpack puts the package's files into the cache.
func unpack(ctx context.Context, opts Options, p Package) error {
	if err := checkDeb(opts.deb(p), p); err != nil {
		return err
	}
	_, err := opts.Cache.Make(unpackedKind, p.SHA256, func(dir string) error {
		files := filepath.Join(dir, filesDir)
		if err := os.MkdirAll(files, 0o755); err != nil {
			return err
		}
		nodes, err := extractDeb(ctx, opts.deb(p), files)
		if err != nil {
			return err
		}
		raw, err := json.Marshal(nodes)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, listName), raw, 0o644)
	})
	return err
}

func readNodes(opts Options, p Package) ([]node, error) {
	raw, err := os.ReadFile(opts.unpacked(p, listName))
	if err != nil {
		return nil, err
	}
	var nodes []node
	err = json.Unmarshal(raw, &nodes)
	return nodes, err
}

// extractDeb unpacks the files of a .deb into dir.
func extractDeb(ctx context.Context, deb, dir string) ([]node, error) {
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start dpkg-deb: %w", err)
	}
	nodes, err := extract(stdout, dir)
	stdout.Close() // ends dpkg-deb when extract gave up early
	exit := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case stderr.Len() > 0 && exit != nil:
		return nil, fmt.Errorf("dpkg-deb: %s", strings.TrimSpace(stderr.String()))
	}
	return nodes, cmp.Or(err, exit)
}

// extract unpacks a tar archive into dir, which no entry can leave: not by "..", not by an
// absolute name, not through a symbolic link (os.Root). Owners are ignored, and set-id bits
// are kept in the list only.
func extract(r io.Reader, dir string) ([]node, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var (
		nodes   []node
		sizes   = map[string]int64{} // of regular files, for the hard links to them
		archive = tar.NewReader(r)
	)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read archive: %w", err)
		}
		if path.Clean(h.Name) == "." {
			continue
		}
		n, err := makeNode(root, archive, h, sizes)
		if err != nil {
			return nil, fmt.Errorf("unpack %s: %w", h.Name, err)
		}
		nodes = append(nodes, n)
	}
	// dpkg-deb waits until all of its output is read, the padding included.
	_, err = io.Copy(io.Discard, r)
	return nodes, err
}

// makeNode makes what one header describes.
func makeNode(root *os.Root, content io.Reader, h *tar.Header, sizes map[string]int64) (node, error) {
	n := node{Path: path.Clean(h.Name), Mode: h.FileInfo().Mode(), Size: h.Size}
	var err error
	switch h.Typeflag {
	case tar.TypeDir:
		// Writable, so that what is in it can be made and, later, removed.
		err = makeDir(root, n.Path, n.Mode.Perm()|0o700)
	case tar.TypeReg:
		err = makeFile(root, n.Path, content, h)
	case tar.TypeSymlink:
		n.Link = h.Linkname
		err = root.Symlink(n.Link, n.Path)
	case tar.TypeLink:
		target := path.Clean(h.Linkname)
		n.Mode, n.Size = n.Mode&^fs.ModeType, sizes[target]
		err = root.Link(target, n.Path)
	default:
		err = fmt.Errorf("entry of type %q, which a payload cannot hold", h.Typeflag)
	}
	if n.Mode.IsRegular() {
		sizes[n.Path] = n.Size
	}
	return n, err
}

func makeDir(root *os.Root, name string, perm fs.FileMode) error {
	if err := root.Mkdir(name, perm); err != nil {
		return err
	}
	return root.Chmod(name, perm) // whatever the umask
}

func makeFile(root *os.Root, name string, r io.Reader, h *tar.Header) error {
	perm := h.FileInfo().Mode().Perm() | 0o400
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err := errors.Join(err, f.Chmod(perm), f.Close()); err != nil {
		return err
	}
	// The archive's date, so that the copy is the same on every machine.
	return root.Chtimes(name, h.ModTime, h.ModTime)
}
