// Package initramfs makes the initrd of the disc, in which the whole of dom0 lives. Most of it are two
// squashfs images: Xen's tools, libraries and kernel modules for dom0 alone, and the Go userland,
// which the demo guests run too. What comes after dom0's own part is the guests' initrd.
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
	"github.com/zerodisc/zerodisc/internal/atomicfile"
	"github.com/zerodisc/zerodisc/internal/buildcache"
	"github.com/zerodisc/zerodisc/internal/payload"
	"github.com/zerodisc/zerodisc/internal/toolchain"
)

// Inputs are what the initrd is made from.
type Inputs struct {
	Source string // this module's root directory
	Go     *toolchain.Toolchain
	Cache  *buildcache.Cache // what is made is good until it is closed
	Tree   *payload.Tree
	Step   func(name string) // told what is being done; never nil

	// Firmware has the initrd carry firmware, the drivers that need it, and microcode: Tree has FirmwarePackages.
	Firmware bool
}

// Kinds of entries in the cache, and how many of each stay for later builds. Modules are 64 MB.
var kinds = []struct {
	name string
	keep int
}{
	{commandsKind, 4},
	{modulesKind, 4},
	{imagesKind, 12},
	{keymapsKind, 4},
}

const (
	commandsKind = "commands" // u-root's commands, rewritten
	modulesKind  = "modules"  // the kernel's modules that are on the disc
	imagesKind   = "images"   // the initrd's parts, compressed
	keymapsKind  = "keymaps"  // keyboard layouts, as package keymap has them
)

// Result is what was made.
type Result struct {
	Initrd   string            // file
	Guest    int64             // offset in bytes: the rest of the initrd is the guests' initrd
	Kernel   payload.Entry     // the Linux kernel that dom0 and PV(H) guests run
	Parts    []Part            // what the initrd consists of
	Packages []payload.Package // those that dom0's files come from, besides kernel and modules

	// MissingFirmware is what modules ask for and no package has: "MODULE: FILE, FILE".
	MissingFirmware []string
}

// Build makes the initrd.
func Build(ctx context.Context, in Inputs) (*Result, error) {
	kernel, release, err := kernelOf(in.Tree)
	if err != nil {
		return nil, err
	}
	work, err := in.Cache.Temp("initramfs")
	if err != nil {
		return nil, err
	}
	in.Step("compiling the userland")
	programs, err := in.compile(ctx, work)
	if err != nil {
		return nil, fmt.Errorf("userland: %w", err)
	}
	in.Step("selecting kernel modules")
	modules, err := in.modules(ctx, release)
	if err != nil {
		return nil, fmt.Errorf("kernel modules: %w", err)
	}
	parts, err := in.collect(ctx, programs, modules, work)
	if err != nil {
		return nil, err
	}
	if err := in.compressAll(ctx, &parts); err != nil {
		return nil, err
	}
	r := &Result{
		Initrd: filepath.Join(work, "initrd.img"), Kernel: kernel, Parts: parts.list(),
		Packages: slices.Collect(maps.Values(parts.packages)), MissingFirmware: parts.missing,
	}
	if r.Guest, err = parts.write(r.Initrd); err != nil {
		return nil, err
	}
	for _, kind := range kinds {
		if err := in.Cache.Prune(kind.name, kind.keep); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// parts are what the initrd consists of, in its order. The last two are the guests' initrd, too.
type parts struct {
	microcode Part // cpio, not compressed; without a file where the disc carries no firmware
	dom0      Part // a squashfs image: Xen's tools, all modules and their firmware
	userland  Part // a squashfs image
	base      Part // compressed cpio: what the kernel starts with

	packages map[string]payload.Package // that dom0's files come from, besides modules
	missing  []string                   // firmware that no package has
}

func (p *parts) list() []Part {
	list := []Part{p.dom0, p.userland, p.base}
	if p.microcode.File != "" {
		list = append([]Part{p.microcode}, list...)
	}
	return list
}

// collect lists the files of each part. modules is the directory with the modules, work one for other files.
func (in Inputs) collect(ctx context.Context, programs programs, modules, work string) (p parts, err error) {
	categories, err := readJSON[map[string]string](modules, categoriesFile)
	if err != nil {
		return p, fmt.Errorf("kernel modules: %w", err)
	}
	p = parts{
		dom0:     Part{Name: "Xen tools, libraries, kernel modules", archive: NewArchive(), categories: categories},
		userland: Part{Name: "Go userland"},
		base:     Part{Name: "first stage", archive: NewArchive(), categories: categories},
		packages: map[string]payload.Package{},
	}
	x := xenFiles{archive: p.dom0.archive, tree: in.Tree, packages: p.packages}
	if err := x.addAll(); err != nil {
		return p, fmt.Errorf("dom0's files: %w", err)
	}
	if err := in.addKeymaps(ctx, x); err != nil {
		return p, fmt.Errorf("keyboard layouts: %w", err)
	}
	modulesAt, err := libPath(boot.ModulesDir)
	if err != nil {
		return p, err
	}
	if err := p.dom0.archive.Tree(modulesAt, filepath.Join(modules, allModules)); err != nil {
		return p, err
	}
	if in.Firmware {
		if err := in.collectFirmware(&p, x, modules, work); err != nil {
			return p, err
		}
	}
	if p.userland.archive, err = userlandImage(programs); err != nil {
		return p, fmt.Errorf("userland: %w", err)
	}
	if err := outline(p.base.archive, programs); err != nil {
		return p, fmt.Errorf("userland: %w", err)
	}
	return p, p.base.archive.Tree(boot.EarlyModules, filepath.Join(modules, earlyModules))
}

// collectFirmware adds the firmware of the modules, and makes the part with microcode.
func (in Inputs) collectFirmware(p *parts, x xenFiles, modules, work string) error {
	in.Step("collecting firmware and microcode")
	users, err := readJSON[[]firmwareUser](modules, firmwareFile)
	if err != nil {
		return fmt.Errorf("firmware: %w", err)
	}
	found, err := findFirmware(in.Tree, users)
	if err != nil {
		return err
	}
	p.missing = found.missing
	p.dom0.Name += ", firmware"
	if p.dom0.firmware, err = x.addFirmware(found); err != nil {
		return fmt.Errorf("firmware: %w", err)
	}
	files, packages, err := microcode(in.Tree)
	if err != nil {
		return fmt.Errorf("microcode: %w", err)
	}
	maps.Copy(p.packages, packages)
	p.microcode = Part{
		Name: "microcode", File: filepath.Join(work, "microcode.cpio"), archive: microcodeArchive(files),
	}
	return atomicfile.Write(p.microcode.File, func(f *os.File) error { return p.microcode.archive.Write(f) })
}

// compressAll makes the parts' files.
func (in Inputs) compressAll(ctx context.Context, p *parts) (err error) {
	in.Step("compressing Xen's tools and the kernel modules")
	if p.dom0.File, err = in.squash(ctx, p.dom0.archive, dom0Block); err != nil {
		return err
	}
	in.Step("compressing the userland")
	if p.userland.File, err = in.squash(ctx, p.userland.archive, userlandBlock); err != nil {
		return err
	}
	p.base.File, err = in.compress(ctx, p.base.archive)
	return err
}

// write writes the initrd and returns where the guests' initrd begins in it.
func (p *parts) write(name string) (guest int64, err error) {
	own, shared := NewArchive(), NewArchive()
	if p.microcode.File != "" {
		forgetMicrocode(own)
	}
	if err := own.File(boot.Dom0Image, p.dom0.File, 0o644); err != nil {
		return 0, err
	}
	own.Text("/etc/xen/xl.conf", xlConf, 0o644)
	own.Text("/etc/modprobe.d/zerodisc.conf", modprobeConf, 0o644)
	for _, name := range hotplugScripts {
		own.Link(name, boot.InitProgram)
	}
	if err := shared.File(boot.UserlandImage, p.userland.File, 0o644); err != nil {
		return 0, err
	}
	return writeInitrd(name, p.microcode.File, own, shared, p.base.File)
}

// kernelOf finds the one kernel of the payload and its release.
func kernelOf(tree *payload.Tree) (payload.Entry, string, error) {
	e, err := one(tree, "/boot/vmlinuz-*")
	return e, strings.TrimPrefix(path.Base(e.Path), "vmlinuz-"), err
}
