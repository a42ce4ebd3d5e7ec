package remaster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"text/tabwriter"
	"unicode"

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
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	z.writeBuild(t)
	z.writeBoot(t, files)
	z.writeComponents(t, files)
	writeGuests(t, guestsOf(z.Disc, files))
	fmt.Fprintf(t, "\nin all\t%s\n", bytesize.Text(z.Size()))
	if free := z.bytes - z.Size(); free > 0 {
		fmt.Fprintf(t, "free behind it\t%s\n", bytesize.Text(free))
	}
	return t.Flush()
}

func (z *zerodisc) writeBuild(t io.Writer) {
	fmt.Fprintf(t, "zerodisc\t%s\n", z.built.Version)
	fmt.Fprintf(t, "build id\t%s\n", z.built.ID)
	for _, id := range z.mediumIDs[1:] {
		fmt.Fprintf(t, "remastered as\t%s\n", id)
	}
	fmt.Fprintf(t, "revision\t%s\n", z.built.Revision)
	fmt.Fprintf(t, "volume label\t%s\n", z.VolumeID)
	if !z.ModTime.IsZero() {
		fmt.Fprintf(t, "date\t%s\n", z.ModTime.Format("2006-01-02 15:04:05 UTC"))
	}
	fmt.Fprintf(t, "packages\t%d of Debian's, %d Go modules, see /%s\n", len(z.built.Packages), len(z.built.Modules), builtName)
}

// platforms are the boot catalog's.
var platforms = []struct {
	platform iso9660.Platform
	name     string
}{{iso9660.BIOS, "BIOS"}, {iso9660.EFI, "UEFI"}}

func (z *zerodisc) writeBoot(t io.Writer, files []*iso9660.Content) {
	fmt.Fprint(t, "\nHow it boots\n")
	for _, p := range platforms {
		e, ok := z.bootEntry(p.platform)
		if !ok {
			fmt.Fprintf(t, "  CD, %s\tno\n", p.name)
			continue
		}
		what := "an image without a name"
		if f, _ := z.fileAt(e.LBA, files); f != nil {
			what = fmt.Sprintf("%s, %s", f.Path, bytesize.Text(f.Size))
		}
		fmt.Fprintf(t, "  CD, %s\tEl Torito image at sector %d: %s\n", p.name, e.LBA, what)
	}
	fmt.Fprintf(t, "  disk, BIOS\t%s\n", z.bootRecord())
	table, err := z.partitions()
	if err != nil {
		fmt.Fprintf(t, "  disk, UEFI\tno: %v\n", err)
		return
	}
	for _, p := range table.Partitions {
		use := "partition"
		if p.Type == gpt.EFISystemPartition {
			use = "disk, UEFI"
		}
		fmt.Fprintf(t, "  %s\tGPT partition %d: %s, from byte %d, %s\n", use, p.Index, p.Name, p.Start*bootSector, bytesize.Text(int64(p.Size)))
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
func (z *zerodisc) writeComponents(t io.Writer, files []*iso9660.Content) {
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
	fmt.Fprint(t, "\nComponents\n")
	for i, c := range components {
		if sizes[i] == 0 {
			continue
		}
		version := ""
		if c.pkg != "" {
			version = z.built.version(c.pkg)
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\n", c.name, bytesize.Text(sizes[i]), version)
	}
	fmt.Fprintf(t, "  file system\t%s\n", bytesize.Text(rest))
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

func writeGuests(t io.Writer, list []*guest) {
	if len(list) == 0 {
		fmt.Fprint(t, "\nNo guests\n")
		return
	}
	fmt.Fprintf(t, "\nGuests\n  name\tdirectory\ttype\tmemory\tvCPUs\tsize\tshared\n")
	for _, g := range list {
		where := "/" + boot.MediumGuests + "/" + g.dir
		if g.err != nil {
			fmt.Fprintf(t, "  %s\t%s\tcannot be read: %v\n", clean(g.name), clean(where), g.err)
			continue
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%d MiB\t%d\t%s\t%s\n", clean(g.name), clean(where), clean(g.kind), g.memory, g.vcpus,
			bytesize.Text(g.size), bytesize.Text(g.shared))
	}
}

// clean keeps a name from the disc from changing a person's terminal or the table.
func clean(name string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, name)
}
