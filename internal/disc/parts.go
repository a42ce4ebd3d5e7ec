package disc

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/initramfs"
	"github.com/zerodisc/zerodisc/internal/iso9660"
	"github.com/zerodisc/zerodisc/internal/payload"
)

// grubPackages hold GRUB's images and modules for BIOS and UEFI, and grub-mkimage.
var grubPackages = []string{"grub-common", "grub-pc-bin", "grub-efi-amd64-bin"}

// parts are what a disc is put together from: Debian's packages, and what was made of them and of the sources.
type parts struct {
	tree     *payload.Tree
	made     *initramfs.Result
	xen      *iso9660.Content
	kernel   *iso9660.Content
	initrd   *iso9660.Content
	packages []payload.Package // those that the disc has files of, by name
}

// makeParts downloads and builds.
func (b *builder) makeParts(ctx context.Context, p plan) (made parts, err error) {
	b.progress.Step("resolving packages")
	roots, components := p.roots()
	made.tree, err = payload.Load(ctx, payload.Options{
		Cache: b.cache, LockFile: b.Lock,
		Mirror: b.Mirror, Suite: b.Suite, Components: components, Offline: b.Offline,
		Progress: func(p payload.Progress) { b.progress.Bytes(p.Step, p.Done, p.Total) },
	}, roots...)
	if err != nil {
		return made, err
	}
	made.made, err = initramfs.Build(ctx, initramfs.Inputs{
		Source: b.source, Go: b.compiler, Cache: b.cache, Tree: made.tree, Step: b.progress.Step,
		Firmware: p.firmware,
	})
	if err != nil {
		return made, err
	}
	for _, line := range made.made.MissingFirmware {
		b.progress.Note("no firmware in Debian for " + line)
	}
	if made.initrd, _, err = iso9660.FromFile(made.made.Initrd); err != nil {
		return made, err
	}
	xen, err := one(made.tree, "/boot/xen-*-amd64.gz")
	if err != nil {
		return made, err
	}
	made.xen, made.kernel = contentOf(xen), contentOf(made.made.Kernel)
	made.packages, err = made.packagesOf(p.packages, xen, made.made.Kernel)
	return made, err
}

// roots are Debian's packages that a disc is made of, and the components of the archive that they come from
// besides main.
func (p plan) roots() (packages, components []string) {
	packages = slices.Concat(initramfs.Packages, p.packages)
	if p.firmware {
		packages = append(packages, initramfs.FirmwarePackages...)
		components = []string{initramfs.FirmwareComponent}
	}
	return packages, components
}

// packagesOf lists the packages that the disc has files of: dom0's, those of entries, and those called names.
func (p parts) packagesOf(names []string, entries ...payload.Entry) ([]payload.Package, error) {
	used := slices.Clone(p.made.Packages)
	for _, e := range entries {
		used = append(used, *e.Package)
	}
	for _, name := range names {
		pkg, err := p.tree.Package(name)
		if err != nil {
			return nil, err
		}
		used = append(used, pkg)
	}
	slices.SortFunc(used, func(a, b payload.Package) int { return cmp.Compare(a.Name, b.Name) })
	return slices.CompactFunc(used, func(a, b payload.Package) bool { return a.Name == b.Name }), nil
}

// files are the boot chain behind GRUB.
func (p parts) files() []iso9660.File {
	return []iso9660.File{
		{Path: boot.MediumXen, Content: p.xen}, {Path: boot.MediumKernel, Content: p.kernel},
		{Path: boot.MediumInitrd, Content: p.initrd},
	}
}

// one finds the one file of the payload that a pattern matches.
func one(tree *payload.Tree, pattern string) (payload.Entry, error) {
	found, err := tree.Glob(pattern)
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("%d files %s in the payload, want one", len(found), pattern)
	}
	if err != nil {
		return payload.Entry{}, err
	}
	return found[0], nil
}
