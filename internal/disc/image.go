package disc

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/grub"
	"github.com/zerodisc/zerodisc/initramfs"
	"github.com/zerodisc/zerodisc/internal/atomicfile"
	"github.com/zerodisc/zerodisc/internal/iso9660"
	"github.com/zerodisc/zerodisc/internal/payload"
	"github.com/zerodisc/zerodisc/internal/progress"
)

// menuTimeout is how long the menu waits for a person before the demo starts.
const menuTimeout = 3 * time.Second

// readSettings reads the disc's settings before anything is built.
func (b *builder) readSettings(context.Context) error {
	text := grub.SettingsTemplate()
	if b.Settings != "" {
		var err error
		if text, err = os.ReadFile(b.Settings); err != nil {
			return fmt.Errorf("settings: %w", err)
		}
		if b.settings, err = grub.ParseSettings(b.Settings, bytes.NewReader(text)); err != nil {
			return err
		}
	}
	b.files = append(b.files, iso9660.File{Path: boot.MediumSettingsText, Content: iso9660.Bytes(text)})
	return nil
}

// writeImage adds boot chain and texts to the guests and writes the image.
func (b *builder) writeImage(ctx context.Context) error {
	b.progress.Step("collecting the image's files")
	packages, err := b.addBootFiles()
	if err != nil {
		return err
	}
	b.menu = grub.Menu{
		Title:      "zerodisc " + boot.Version,
		XenCmdline: strings.TrimSpace(xenCmdline + " " + b.XenCmdline),
		Cmdline:    strings.TrimSpace(cmdline + " " + b.Cmdline),
		Timeout:    menuTimeout,
		Installer:  slices.Contains(b.With, debianInstaller),
	}
	sums := digests{}
	if err := sums.add(b.files); err != nil {
		return err
	}
	b.menu.BuildID = buildID(b.files, sums, boot.Version, b.menu.XenCmdline, b.menu.Cmdline)
	if err := b.addDocuments(ctx, b.menu.BuildID, packages); err != nil {
		return err
	}
	if err := b.addMenu(sums); err != nil {
		return err
	}
	if b.date, err = b.modTime(ctx); err != nil {
		return err
	}
	img := iso9660.Image{
		VolumeID: boot.VolumeID, ModTime: b.date, Files: b.files, Sums: boot.MediumSums, Structure: boot.MediumStructure,
	}
	loader, err := grub.Build(ctx, b.tree.Root(), b.menu.BuildID)
	if err != nil {
		return err
	}
	if err := sums.add(img.Files); err != nil {
		return err
	}
	share(img.Files, sums, b.initrd)
	if err := loader.AddTo(&img); err != nil {
		return err
	}
	return b.write(ctx, img)
}

// addMenu adds GRUB's configuration; sums has those of the files that it loads.
func (b *builder) addMenu(sums digests) error {
	config, err := b.menu.Config()
	if err != nil {
		return err
	}
	settings, err := b.settings.Config(b.menu.BuildID)
	if err != nil {
		return err
	}
	var start []byte
	for _, f := range []iso9660.File{{Path: boot.MediumKernel, Content: b.kernel}, {Path: boot.MediumInitrd, Content: b.initrd}} {
		start = fmt.Appendf(start, "%s  %s\n", sums[f.Content], f.Path)
	}
	for name, text := range map[string][]byte{
		boot.MediumGRUB: config, boot.MediumSettings: settings, boot.MediumLoopback: grub.Loopback(), boot.MediumStartSums: start,
	} {
		b.files = append(b.files, iso9660.File{Path: name, Content: iso9660.Bytes(text)})
	}
	return nil
}

// addBootFiles adds Xen, kernel and initrd, and returns the packages that the image has files of.
func (b *builder) addBootFiles() ([]payload.Package, error) {
	xen, err := b.tree.Glob("/boot/xen-*-amd64.gz")
	if err != nil {
		return nil, err
	}
	if len(xen) != 1 {
		return nil, fmt.Errorf("%d hypervisors in the payload, want one", len(xen))
	}
	used := map[string]payload.Package{}
	b.xen = openContent(xen[0].Host, xen[0].Size)
	b.kernel = openContent(b.made.Kernel.Host, b.made.Kernel.Size)
	b.files = append(b.files, iso9660.File{Path: boot.MediumXen, Content: b.xen}, iso9660.File{Path: boot.MediumKernel, Content: b.kernel})
	for _, e := range []payload.Entry{xen[0], b.made.Kernel} {
		used[e.Package.Name] = *e.Package
	}
	b.files = append(b.files, iso9660.File{Path: boot.MediumInitrd, Content: b.initrd})
	for _, p := range b.made.Packages {
		used[p.Name] = p
	}
	if err := b.addExtras(); err != nil {
		return nil, err
	}
	extras, err := b.extraPackages()
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Concat(grubPackages, extras) {
		p, err := b.tree.Package(name)
		if err != nil {
			return nil, err
		}
		used[name] = p
	}
	var packages []payload.Package
	for _, p := range used {
		packages = append(packages, p)
	}
	slices.SortFunc(packages, func(a, b payload.Package) int { return cmp.Compare(a.Name, b.Name) })
	return packages, nil
}

// addDocuments adds the texts for people.
func (b *builder) addDocuments(ctx context.Context, id string, packages []payload.Package) error {
	modules, err := initramfs.UserlandModules(ctx, b.compiler, b.source)
	if err != nil {
		return err
	}
	golang, err := goLicence(modules)
	if err != nil {
		return err
	}
	b.provenance = provenance{
		Version: boot.Version, ID: id, Revision: b.revision(ctx), Compiler: b.compiler.Version, Suite: b.Suite,
		Packages: packages, Modules: modules,
	}
	files, err := documents(b.provenance, b.tree, licences{zerodisc: filepath.Join(b.source, "LICENSE"), golang: golang})
	b.files = append(b.files, files...)
	return err
}

// revision names the sources: the commit, and whether they were changed since.
func (b *builder) revision(ctx context.Context) string {
	git := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
	git.Dir = b.source
	out, err := git.Output()
	if err != nil {
		return "unknown (sources without history)"
	}
	return strings.TrimSpace(string(out))
}

// goLicence is a file with Go's licence. Go's own copy is not everywhere that Go is (Debian moves it);
// golang.org/x/sys is of the same authors, under the same words.
func goLicence(modules []initramfs.Module) (string, error) {
	for _, m := range modules {
		if m.Path == "golang.org/x/sys" {
			return filepath.Join(m.Dir, "LICENSE"), nil
		}
	}
	return "", errors.New("licence of Go: the userland has no module golang.org/x/sys any more; take it from another one of golang.org/x")
}

// write writes the image to its place and prints what takes how many bytes.
func (b *builder) write(ctx context.Context, img iso9660.Image) error {
	b.progress.Step("writing the image")
	err := atomicfile.Write(b.Output, func(f *os.File) error {
		_, err := img.Write(ctx, f, func(written, total int64) { b.progress.Bytes("writing the image", written, total) })
		return err
	})
	if err != nil {
		return err
	}
	info, err := os.Stat(b.Output)
	if err != nil {
		return err
	}
	b.progress.Done()
	return b.summary(ctx, img, info.Size())
}

// groups are the lines of the summary: what is counted by the first prefix that fits its path.
var groups = []struct{ name, prefix string }{
	{"Xen", boot.MediumXen},
	{"Linux kernel", boot.MediumKernel},
	{"dom0's initrd", boot.MediumInitrd},
	{"guests", boot.MediumGuests + "/"},
	{"Debian's installer", boot.MediumInstaller + "/"},
	{"memory test", "boot/memtest86+"},
	{"iPXE", "boot/ipxe"},
	{"texts and licences", ""},
}

// summary prints the bytes of the image by component; what files share counts once.
func (b *builder) summary(ctx context.Context, img iso9660.Image, total int64) error {
	sizes := map[string]int64{}
	counted := map[*iso9660.Content]bool{}
	for _, f := range img.Files {
		if counted[f.Content] || f.Content.IsTail() {
			continue
		}
		counted[f.Content] = true
		for _, g := range groups {
			if strings.HasPrefix(f.Path, g.prefix) && !strings.HasPrefix(f.Path, "EFI/") {
				sizes[g.name] += f.Content.Size
				break
			}
		}
	}
	rest := total
	for _, g := range groups {
		if sizes[g.name] == 0 {
			continue
		}
		b.sizeLine(0, g.name, sizes[g.name])
		rest -= sizes[g.name]
		if g.prefix != boot.MediumInitrd {
			continue
		}
		for _, part := range b.made.Parts {
			if err := b.partSummary(ctx, part); err != nil {
				return err
			}
		}
	}
	b.sizeLine(0, "boot loader and file system", rest)
	b.sizeLine(0, "in all: "+path.Clean(b.Output), total)
	return nil
}

// partSummary prints what a part of the initrd takes and, if asked to, what in it does.
func (b *builder) partSummary(ctx context.Context, part initramfs.Part) error {
	info, err := os.Stat(part.File)
	if err != nil {
		return err
	}
	b.sizeLine(1, part.Name, info.Size())
	if !b.Size {
		return nil
	}
	costs, err := part.Costs(ctx)
	if err != nil {
		return err
	}
	small := initramfs.Cost{}
	for _, c := range costs {
		if c.Bytes < smallCost {
			small.Add(c)
			continue
		}
		b.costLine(c)
	}
	small.Name = "smaller ones"
	b.costLine(small)
	return nil
}

// smallCost is how many bytes of the disc are worth a line.
const smallCost = 50_000

func (b *builder) costLine(c initramfs.Cost) {
	if c.Files == 0 {
		return
	}
	b.sizeLine(2, fmt.Sprintf("%s (files: %d, uncompressed: %s)", c.Name, c.Files, progress.Megabytes(c.Plain)), c.Bytes)
}

func (b *builder) sizeLine(depth int, name string, size int64) {
	fmt.Fprintf(b.Out, "%10s  %s%s\n", progress.Megabytes(size), strings.Repeat("  ", depth), name)
}
