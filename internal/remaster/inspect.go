package remaster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/diskfs/go-diskfs/partition/gpt"

	"github.com/zerodisc/zerodisc/boot"
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
	z.writeBoot(t, files)
	z.writeComponents(t, files)
	writeGuests(t, guestsOf(z.Disc, files))
	t.row()
	t.row("in all", sizeText(z.Size()))
	if behind := z.bytes - z.Size(); behind > 0 {
		t.row("behind it", sizeText(behind))
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
	t.row("packages", fmt.Sprintf("%d of Debian's, %d Go modules, see /%s", len(z.built.Packages), len(z.built.Modules), builtName))
}

// platforms are the boot catalog's.
var platforms = []struct {
	platform iso9660.Platform
	name     string
}{{iso9660.BIOS, "BIOS"}, {iso9660.EFI, "UEFI"}}

func (z *zerodisc) writeBoot(t table, files []*iso9660.Content) {
	t.title("How it boots")
	for _, p := range platforms {
		e, ok := z.bootEntry(p.platform)
		if !ok {
			t.row("  CD, "+p.name, "no")
			continue
		}
		what := "an image without a name"
		if f, _ := z.fileAt(e.LBA, files); f != nil {
			what = fmt.Sprintf("%s, %s", f.Path, sizeText(f.Size))
		}
		t.row("  CD, "+p.name, fmt.Sprintf("El Torito image at sector %d: %s", e.LBA, what))
	}
	t.row("  disk, BIOS", z.bootRecord())
	partitions, err := z.partitions()
	if err != nil {
		t.row("  disk, UEFI", fmt.Sprintf("no: %v", err))
		return
	}
	for _, p := range partitions.Partitions {
		use := "partition"
		if p.Type == gpt.EFISystemPartition {
			use = "disk, UEFI"
		}
		t.row("  "+use, fmt.Sprintf("GPT partition %d: %s, from byte %d, %s", p.Index, p.Name, p.Start*bootSector, sizeText(int64(p.Size))))
	}
}

// bootSector is the size in bytes of a disk's sector.
const bootSector = 512

// bootRecord describes the hybrid master boot record.
func (m *medium) bootRecord() string {
	b := make([]byte, bootSector)
	if n, err := m.file.ReadAt(b, 0); n < len(b) {
		return fmt.Sprintf("no: %v", err)
	}
	if b[510] != 0x55 || b[511] != 0xAA || b[0] == 0 {
		return "no: sector 0 holds no boot code"
	}
	return "boot code in the master boot record"
}

// maxTable bounds, in bytes, a GUID partition table: it lies before the volume descriptors.
const maxTable = iso9660.SystemAreaSize

// partitions reads the GUID partition table. go-diskfs takes the table's own word for its size, and
// panics when that is more than memory can be.
func (m *medium) partitions() (*gpt.Table, error) {
	header := make([]byte, bootSector)
	if n, err := m.file.ReadAt(header, bootSector); n < len(header) {
		return nil, err
	}
	if string(header[:8]) != "EFI PART" {
		return nil, errors.New("there is no GUID partition table")
	}
	count, size := binary.LittleEndian.Uint32(header[80:]), binary.LittleEndian.Uint32(header[84:])
	if size < 128 || uint64(count)*uint64(size) > maxTable || binary.LittleEndian.Uint64(header[72:]) > maxTable/bootSector {
		return nil, errors.New("the GUID partition table is damaged")
	}
	table, err := gpt.Read(primaryOnly{m.file}, bootSector, bootSector)
	if err != nil {
		return nil, fmt.Errorf("the GUID partition table is damaged: %w", err)
	}
	if len(table.Partitions) == 0 {
		return nil, errors.New("the GUID partition table is empty")
	}
	return table, nil
}

// primaryOnly is a disk whose end is not found, so that go-diskfs does not look for a backup of the
// table there, which nobody has checked.
type primaryOnly struct{ *os.File }

func (primaryOnly) Seek(int64, int) (int64, error) { return 0, errors.ErrUnsupported }

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
		t.row("  "+c.name, sizeText(sizes[i]), version)
	}
	t.row("  file system", sizeText(rest))
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
		t.row("  "+g.name, where, g.kind, fmt.Sprintf("%d MiB", g.memory), fmt.Sprint(g.vcpus), sizeText(g.size), sizeText(g.shared))
	}
}
