package disc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/grub"
	"github.com/zerodisc/zerodisc/initramfs"
	"github.com/zerodisc/zerodisc/internal/iso9660"
	"github.com/zerodisc/zerodisc/internal/payload"
	"github.com/zerodisc/zerodisc/internal/sha256sums"
)

// medium is a disc that is ready to be written.
type medium struct {
	image      iso9660.Image
	guests     []iso9660.File // of the image's files those of guests
	menu       grub.Menu
	provenance provenance
}

// assemble puts the disc together. Its build id is the hash of all that is on it but for what the id is in: the
// texts, the menu and GRUB, which come after that.
func (b *builder) assemble(ctx context.Context, p plan, made parts) (m medium, err error) {
	b.progress.Step("collecting the image's files")
	if m.guests, err = demoFiles(b.source, made.initrd.Tail(made.made.Guest)); err != nil {
		return m, err
	}
	m.guests = append(m.guests, p.guests.Files...)
	extras, err := made.extraFiles(p.options)
	if err != nil {
		return m, err
	}
	settings := iso9660.File{Path: boot.MediumSettingsText, Content: iso9660.Bytes(p.settingsText)}
	files := slices.Concat(made.files(), extras, m.guests, p.config, []iso9660.File{settings})
	sums := digests{}
	if err := sums.add(files); err != nil {
		return m, err
	}
	m.menu = p.menu
	m.menu.BuildID = buildID(files, sums, boot.Version, m.menu.XenCmdline, m.menu.Cmdline)
	if m.provenance, err = b.provenance(ctx, m.menu.BuildID, made.packages); err != nil {
		return m, err
	}
	documents, err := b.documents(m.provenance, made.tree)
	if err != nil {
		return m, err
	}
	menu, err := made.menuFiles(m.menu, p.settings, sums)
	if err != nil {
		return m, err
	}
	files = slices.Concat(files, documents, menu)
	if err := sums.add(files); err != nil {
		return m, err
	}
	share(files, sums, made.initrd)
	m.image = iso9660.Image{
		VolumeID: boot.VolumeID, ModTime: p.date, Files: files, Sums: boot.MediumSums, Structure: boot.MediumStructure,
	}
	loader, err := grub.Build(ctx, made.tree.Root(), m.menu.BuildID)
	if err != nil {
		return m, err
	}
	return m, loader.AddTo(&m.image)
}

// menuFiles are GRUB's configuration; sums has those of kernel and initrd, which GRUB itself checks.
func (p parts) menuFiles(menu grub.Menu, settings grub.Settings, sums digests) ([]iso9660.File, error) {
	config, err := menu.Config()
	if err != nil {
		return nil, err
	}
	script, err := settings.Config(menu.BuildID)
	if err != nil {
		return nil, err
	}
	var start bytes.Buffer
	err = sha256sums.Format(&start, []sha256sums.Sum{
		{Path: boot.MediumKernel, SHA256: sums[p.kernel]}, {Path: boot.MediumInitrd, SHA256: sums[p.initrd]},
	})
	if err != nil {
		return nil, err
	}
	return []iso9660.File{
		{Path: boot.MediumGRUB, Content: iso9660.Bytes(config)},
		{Path: boot.MediumSettings, Content: iso9660.Bytes(script)},
		{Path: boot.MediumLoopback, Content: iso9660.Bytes(grub.Loopback())},
		{Path: boot.MediumStartSums, Content: iso9660.Bytes(start.Bytes())},
	}, nil
}

// provenance says what the disc is made of.
func (b *builder) provenance(ctx context.Context, id string, packages []payload.Package) (provenance, error) {
	modules, err := initramfs.UserlandModules(ctx, b.compiler, b.source)
	if err != nil {
		return provenance{}, err
	}
	return provenance{
		Version: boot.Version, ID: id, Revision: b.revision(ctx), Compiler: b.compiler.Version, Suite: b.Suite,
		Packages: packages, Modules: modules,
	}, nil
}

// documents are the texts for people.
func (b *builder) documents(p provenance, tree *payload.Tree) ([]iso9660.File, error) {
	golang, err := goLicence(p.Modules)
	if err != nil {
		return nil, err
	}
	return documents(p, tree, licences{zerodisc: filepath.Join(b.source, "LICENSE"), golang: golang})
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
	return "", errors.New("licence of Go: the userland has no module golang.org/x/sys any more; " +
		"take it from another one of golang.org/x")
}

// writeImage writes the disc to its place and prints what takes how many bytes.
func (b *builder) writeImage(ctx context.Context, p plan, made parts, m medium) error {
	const step = "writing the image"
	b.progress.Step(step)
	layout, err := m.image.Layout()
	if err != nil {
		return err
	}
	err = p.image.Write(layout.Size(), func(to io.Writer) error {
		_, err := m.image.Write(ctx, to, func(written, total int64) { b.progress.Bytes(step, written, total) })
		return err
	})
	if err != nil {
		return err
	}
	b.progress.Done()
	return b.summary(ctx, m.image.Files, made.made.Parts, layout.Size())
}
