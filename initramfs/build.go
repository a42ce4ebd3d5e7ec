// Package initramfs makes the two initrds of the disc: dom0's, in which the whole of dom0 lives,
// and the demo guests'. Both are rows of cpio segments of which the first, the Go userland, is
// the same bytes.
package initramfs

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/kmod"
	"github.com/zerodisc/zerodisc/internal/payload"
)

// Inputs are what the initrds are made from.
type Inputs struct {
	Source   string // this module's root directory
	CacheDir string // intermediate files, reused by later builds
	Tree     *payload.Tree
	Step     func(name string) // told what is being done; never nil
}

// Result names the files made.
type Result struct {
	Dom0, Guest string            // initrds
	Kernel      payload.Entry     // the Linux kernel that dom0 and PV(H) guests run
	Userland    string            // the multi-call binary
	Parts       []Part            // what dom0's initrd consists of
	Packages    []payload.Package // those that dom0's files come from, besides kernel and modules
}

// Part is a segment of an initrd.
type Part struct {
	Name string
	File string
}

// Build makes the initrds.
func Build(ctx context.Context, in Inputs) (*Result, error) {
	kernel, version, err := kernelOf(in.Tree)
	if err != nil {
		return nil, err
	}
	c := &Compressor{CacheDir: filepath.Join(in.CacheDir, "segments"), Tool: in.Tree.Tool}
	userland, err := in.userland(ctx, c)
	if err != nil {
		return nil, err
	}
	in.Step("selecting kernel modules")
	modules, err := in.modules(ctx, version)
	if err != nil {
		return nil, fmt.Errorf("kernel modules: %w", err)
	}
	in.Step("packing dom0 and the guests")
	dom0, packages, err := in.dom0(ctx, c, modules)
	if err != nil {
		return nil, fmt.Errorf("dom0's files: %w", err)
	}
	guest, err := c.Segment(ctx, modules.guest)
	if err != nil {
		return nil, fmt.Errorf("guest's files: %w", err)
	}
	r := &Result{
		Dom0: filepath.Join(in.CacheDir, "initrd.img"), Guest: filepath.Join(in.CacheDir, "guest.img"),
		Kernel: kernel, Userland: userland.binary, Packages: packages,
		Parts: []Part{{"Go userland", userland.segment}, {"Xen tools and libraries", dom0}, {"kernel modules", modules.segment}},
	}
	if err := Join(r.Dom0, userland.segment, dom0, modules.segment); err != nil {
		return nil, err
	}
	return r, Join(r.Guest, userland.segment, guest)
}

// kernelOf finds the one kernel of the payload and its version.
func kernelOf(tree *payload.Tree) (payload.Entry, string, error) {
	e, err := one(tree, "/boot/vmlinuz-*")
	return e, strings.TrimPrefix(path.Base(e.Path), "vmlinuz-"), err
}

// userlandFiles are the binary and its compressed segment.
type userlandFiles struct{ binary, segment string }

func (in Inputs) userland(ctx context.Context, c *Compressor) (u userlandFiles, err error) {
	in.Step("compiling the userland")
	dir := filepath.Join(in.CacheDir, "userland")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return u, err
	}
	if u.binary, err = BuildUserland(ctx, in.Source, dir); err != nil {
		return u, err
	}
	commands, err := urootCommands(ctx, in.Source)
	if err != nil {
		return u, err
	}
	a := NewArchive()
	if err := addUserland(a, u.binary, commands); err != nil {
		return u, err
	}
	in.Step("compressing the userland")
	u.segment, err = c.Segment(ctx, a)
	return u, err
}

// dom0 makes the segment of what Debian's packages give dom0, with the modules that are needed
// before the image of all others is mounted.
func (in Inputs) dom0(ctx context.Context, c *Compressor, m *moduleFiles) (string, []payload.Package, error) {
	x := xenFiles{archive: NewArchive(), tree: in.Tree, packages: map[string]payload.Package{}}
	if err := x.addAll(); err != nil {
		return "", nil, err
	}
	if err := x.archive.Tree(kmod.EarlyDir, m.early); err != nil {
		return "", nil, err
	}
	x.archive.Dir(boot.ModulesDir, 0o755)
	segment, err := c.Segment(ctx, x.archive)
	return segment, slices.Collect(maps.Values(x.packages)), err
}
