package remaster

import (
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/diskfs/go-diskfs/partition/gpt"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/bytesize"
	"github.com/zerodisc/zerodisc/internal/iso9660"
)

// Inspect tells a person on out what is on a disc, an ISO image or a device: how it boots, what it is
// made of, its guests. A disc that is not ours is an error.
func Inspect(out io.Writer, name string) error {
	z, err := openZerodisc(name)
	if err != nil {
		return err
	}
	defer z.Close()
	files := contents(z.Disc)
	t := newTable(out)
	z.writeBuild(t)
	z.writeBoot(t)
	z.writeComponents(t, files)
	writeGuests(t, guestsOf(z.Disc, files))
	t.row()
	t.row("in all", bytesize.Text(z.Size()))
	if behind := z.bytes - z.Size(); behind > 0 {
		t.row("behind it", bytesize.Text(behind))
	}
	return t.flush()
}

func (z *zerodisc) writeBuild(t table) {
	t.row("zerodisc", z.built.Version)
	t.row("build id", z.built.ID)
	for _, id := range z.mediumIDs[1:] {
		t.row("remastered as", id)
	}
	t.row("revision", z.built.Revision)
	t.row("volume label", z.VolumeID)
	if !z.ModTime.IsZero() {
		t.row("date", z.ModTime.Format("2006-01-02 15:04:05 UTC"))
	}
	t.row("packages", fmt.Sprintf("%d of Debian's, %d Go modules, see /%s",
		len(z.built.Packages), len(z.built.Modules), builtName))
	if firmware := z.built.firmware(); firmware != "" {
		t.row("firmware", firmware)
	}
}

// platforms are the boot catalog's.
var platforms = []struct {
	platform iso9660.Platform
	name     string
}{{iso9660.BIOS, "BIOS"}, {iso9660.EFI, "UEFI"}}

func (z *zerodisc) writeBoot(t table) {
	t.title("How it boots")
	for _, p := range platforms {
		e, ok := z.bootEntry(p.platform)
		if !ok {
			t.row("  CD, "+p.name, "no")
			continue
		}
		what := "an image without a name"
		if i := z.fileAt(e.LBA); i >= 0 {
			what = fmt.Sprintf("%s, %s", z.Files[i].Path, bytesize.Text(z.Files[i].Size))
		}
		t.row("  CD, "+p.name, fmt.Sprintf("El Torito image at sector %d: %s", e.LBA, what))
	}
	t.row("  disk, BIOS", z.bootRecord())
	table, err := partitions(z.file)
	if err != nil {
		t.row("  disk, UEFI", fmt.Sprintf("no: %v", err))
		return
	}
	for _, p := range table.Partitions {
		use := "partition"
		if p.Type == gpt.EFISystemPartition {
			use = "disk, UEFI"
		}
		t.row("  "+use, fmt.Sprintf("GPT partition %d: %s, from byte %d, %s",
			p.Index, p.Name, p.Start*bootSector, bytesize.Text(int64(p.Size))))
	}
}

// components are the lines of the list: what is counted by the first of the prefixes that fits a
// file's path, and whose version is that of the first package which fits.
var components = []struct {
	name, pkg string
	prefixes  []string
}{
	{"Xen", "xen-hypervisor-", []string{boot.MediumXen}},
	{"Linux kernel", "linux-image-", []string{boot.MediumKernel}},
	{"dom0's initrd", "", []string{boot.MediumInitrd}},
	{"Memtest86+", "memtest86+", []string{boot.MediumMemtestBIOS, boot.MediumMemtestEFI}},
	{"iPXE", "ipxe", []string{boot.MediumIPXEBIOS, boot.MediumIPXEEFI}},
	{"Debian's installer", "debian-installer-", []string{boot.MediumInstaller + "/"}},
	{"GRUB", "grub-common", []string{path.Dir(boot.MediumGRUB) + "/", "EFI/"}},
	{"guests", "", []string{boot.MediumGuests + "/"}},
	{"texts and licences", "", []string{""}},
}

// writeComponents lists sizes and versions; what files share counts once.
func (z *zerodisc) writeComponents(t table, files []*iso9660.Content) {
	sizes := make([]int64, len(components))
	counted := map[*iso9660.Content]bool{}
	rest := z.Size()
	for i, f := range z.Files {
		if counted[files[i]] || files[i].IsTail() {
			continue
		}
		counted[files[i]] = true
		sizes[componentOf(f.Path)] += f.Size
		rest -= f.Size
	}
	t.title("Components")
	for i, c := range components {
		if sizes[i] == 0 {
			continue
		}
		version := ""
		if c.pkg != "" {
			version = z.built.version(c.pkg)
		}
		t.row("  "+c.name, bytesize.Text(sizes[i]), version)
	}
	t.row("  file system", bytesize.Text(rest))
}

// componentOf is the index of the component that a file belongs to.
func componentOf(name string) int {
	for i, c := range components {
		for _, prefix := range c.prefixes {
			if strings.HasPrefix(name, prefix) {
				return i
			}
		}
	}
	return len(components) - 1
}

func writeGuests(t table, list []*guest) {
	if len(list) == 0 {
		t.title("No guests")
		return
	}
	t.title("Guests")
	t.row("  name", "directory", "type", "memory", "vCPUs", "size", "shared")
	for _, g := range list {
		where := "/" + boot.MediumGuests + "/" + g.dir
		if g.fault != "" {
			t.row("  "+g.name, where, "cannot be read: "+g.fault)
			continue
		}
		t.row("  "+g.name, where, g.kind, fmt.Sprintf("%d MiB", g.memory), fmt.Sprint(g.vcpus),
			bytesize.Text(g.size), bytesize.Text(g.shared))
	}
}
