package disc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
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
	"github.com/zerodisc/zerodisc/internal/iso9660"
	"github.com/zerodisc/zerodisc/internal/payload"
)

// menuTimeout is how long the menu waits for a person before the demo starts.
const menuTimeout = 3 * time.Second

// writeImage adds boot chain and texts to the guests and writes the image.
func (b *builder) writeImage(ctx context.Context) error {
	b.progress.step("collecting the image's files")
	packages, err := b.addBootFiles()
	if err != nil {
		return err
	}
	b.menu = grub.Menu{
		Title:      "zerodisc " + boot.Version,
		XenCmdline: strings.TrimSpace(xenCmdline + " " + b.XenCmdline),
		Cmdline:    strings.TrimSpace(cmdline + " " + b.Cmdline),
		Timeout:    menuTimeout,
	}
	if b.menu.BuildID, err = buildID(b.files, boot.Version, b.menu.XenCmdline, b.menu.Cmdline); err != nil {
		return err
	}
	if err := b.addDocuments(ctx, b.menu.BuildID, packages); err != nil {
		return err
	}
	img := iso9660.Image{VolumeID: boot.VolumeID, Files: b.files}
	if img.ModTime, err = b.modTime(ctx); err != nil {
		return err
	}
	config, err := b.menu.Config()
	if err != nil {
		return err
	}
	img.Files = append(img.Files, iso9660.File{Path: boot.MediumGRUB, Content: iso9660.Bytes(config)})
	loader, err := grub.Build(ctx, b.tree.Root(), b.menu.BuildID)
	if err != nil {
		return err
	}
	if err := loader.AddTo(&img); err != nil {
		return err
	}
	return b.write(ctx, img)
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
	for _, name := range grubPackages {
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
	modules, err := initramfs.UserlandModules(ctx, b.source)
	if err != nil {
		return err
	}
	golang, err := goLicence(modules)
	if err != nil {
		return err
	}
	compiler, err := b.goEnv(ctx, "GOVERSION")
	if err != nil {
		return err
	}
	files, err := documents(provenance{
		Version: boot.Version, ID: id, Revision: b.revision(ctx), Compiler: compiler, Suite: b.Suite,
		Packages: packages, Modules: modules,
	}, b.tree, licences{zerodisc: filepath.Join(b.source, "LICENSE"), golang: golang})
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

// goEnv asks the Go that compiles the userland: go.mod may choose another than the one in PATH.
func (b *builder) goEnv(ctx context.Context, name string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "env", name)
	cmd.Dir = b.source
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go env %s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// write writes the image to its place and prints what takes how many bytes.
func (b *builder) write(ctx context.Context, img iso9660.Image) error {
	b.progress.step("writing the image")
	err := initramfs.WriteFile(b.Output, func(f *os.File) error {
		_, err := img.Write(ctx, f, func(written, total int64) { b.progress.bytes("writing the image", written, total) })
		return err
	})
	if err != nil {
		return err
	}
	info, err := os.Stat(b.Output)
	if err != nil {
		return err
	}
	b.progress.done()
	b.summary(b.Out, img, info.Size())
	return nil
}

// groups are the lines of the summary: what is counted by the first prefix that fits its path.
var groups = []struct{ name, prefix string }{
	{"Xen", boot.MediumXen},
	{"Linux kernel", boot.MediumKernel},
	{"dom0's initrd", boot.MediumInitrd},
	{"guests", boot.MediumGuests + "/"},
	{"texts and licences", ""},
}

// summary prints the bytes of the image by component; what files share counts once.
func (b *builder) summary(w io.Writer, img iso9660.Image, total int64) {
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
	line := func(indent, name string, size int64) { fmt.Fprintf(w, "%10s  %s%s\n", megabytes(size), indent, name) }
	for _, g := range groups {
		line("", g.name, sizes[g.name])
		rest -= sizes[g.name]
		if g.prefix != boot.MediumInitrd {
			continue
		}
		for _, part := range b.made.Parts {
			if info, err := os.Stat(part.File); err == nil {
				line("  ", part.Name, info.Size())
			}
		}
	}
	line("", "boot loader and file system", rest)
	line("", "in all: "+path.Clean(b.Output), total)
}
