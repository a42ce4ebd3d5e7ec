// Package initramfs makes the initrd of the disc, in which the whole of dom0 lives. Most of it are two
// squashfs images: Xen's tools, libraries and kernel modules for dom0 alone, and the Go userland,
// which the demo guests run too. What comes after dom0's own part is the guests' initrd.
package initramfs

import (
	"context"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/payload"
	"github.com/zerodisc/zerodisc/internal/toolchain"
)

// userlandDir is the directory of intermediate files in which the userland is compiled. The underscore
// hides it from ./...
const userlandDir = "_userland"

// Inputs are what the initrd is made from.
type Inputs struct {
	Source   string // this module's root directory
	Go       *toolchain.Toolchain
	CacheDir string // intermediate files, reused by later builds
	Tree     *payload.Tree
	Step     func(name string) // told what is being done; never nil
}

// Result is what was made.
type Result struct {
	Initrd   string            // file
	Guest    int64             // offset in bytes: the rest of the initrd is the guests' initrd
	Kernel   payload.Entry     // the Linux kernel that dom0 and PV(H) guests run
	Parts    []Part            // what the initrd consists of
	Packages []payload.Package // those that dom0's files come from, besides kernel and modules
}

// Build makes the initrd.
func Build(ctx context.Context, in Inputs) (*Result, error) {
	kernel, release, err := kernelOf(in.Tree)
	if err != nil {
		return nil, err
	}
	in.Step("compiling the userland")
	programs, err := in.compile(ctx, filepath.Join(in.CacheDir, userlandDir))
	if err != nil {
		return nil, fmt.Errorf("userland: %w", err)
	}
	in.Step("selecting kernel modules")
	modules, err := in.modules(ctx, release)
	if err != nil {
		return nil, fmt.Errorf("kernel modules: %w", err)
	}
	userland, err := userlandImage(programs)
	if err != nil {
		return nil, fmt.Errorf("userland: %w", err)
	}
	x := xenFiles{archive: NewArchive(), tree: in.Tree, packages: map[string]payload.Package{}}
	if err := x.addAll(); err != nil {
		return nil, fmt.Errorf("dom0's files: %w", err)
	}
	modulesAt, err := libPath(boot.ModulesDir)
	if err != nil {
		return nil, err
	}
	if err := x.archive.Tree(modulesAt, filepath.Join(modules, "tree")); err != nil {
		return nil, err
	}
	base := NewArchive()
	if err := outline(base, programs); err != nil {
		return nil, fmt.Errorf("userland: %w", err)
	}
	if err := base.Tree(boot.EarlyModules, filepath.Join(modules, "early")); err != nil {
		return nil, err
	}
	categories, err := readCategories(modules)
	if err != nil {
		return nil, err
	}
	r := &Result{Initrd: filepath.Join(in.CacheDir, "initrd.img"), Kernel: kernel, Packages: slices.Collect(maps.Values(x.packages))}
	r.Parts = []Part{
		{Name: "Xen tools, libraries, kernel modules", archive: x.archive, categories: categories},
		{Name: "Go userland", archive: userland},
		{Name: "first stage", archive: base, categories: categories},
	}
	if err := in.pack(ctx, r); err != nil {
		return nil, err
	}
	for dir, prefix := range map[string]string{"images": "", "modules": "", userlandDir: commandsPrefix} {
		if err := prune(filepath.Join(in.CacheDir, dir), prefix); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// pack compresses the initrd's three parts and writes them to r.Initrd.
func (in Inputs) pack(ctx context.Context, r *Result) (err error) {
	dom0, userland, base := &r.Parts[0], &r.Parts[1], &r.Parts[2]
	in.Step("compressing Xen's tools and the kernel modules")
	if dom0.File, err = in.squash(ctx, dom0.archive); err != nil {
		return err
	}
	in.Step("compressing the userland")
	if userland.File, err = in.squash(ctx, userland.archive); err != nil {
		return err
	}
	if base.File, err = in.compress(ctx, base.archive); err != nil {
		return err
	}
	own, shared := NewArchive(), NewArchive()
	if err := own.File(boot.Dom0Image, dom0.File, 0o644); err != nil {
		return err
	}
	own.Text("/etc/xen/xl.conf", xlConf, 0o644)
	for _, name := range hotplugScripts {
		own.Link(name, boot.InitProgram)
	}
	if err := shared.File(boot.UserlandImage, userland.File, 0o644); err != nil {
		return err
	}
	r.Guest, err = writeInitrd(r.Initrd, own, shared, base.File)
	return err
}

// kernelOf finds the one kernel of the payload and its release.
func kernelOf(tree *payload.Tree) (payload.Entry, string, error) {
	e, err := one(tree, "/boot/vmlinuz-*")
	return e, strings.TrimPrefix(path.Base(e.Path), "vmlinuz-"), err
}
