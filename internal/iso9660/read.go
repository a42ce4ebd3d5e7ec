package iso9660

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// Disc is an image that was opened: what its descriptors, directories and boot catalog say.
type Disc struct {
	VolumeID string
	ModTime  time.Time // when the volume was made; zero when it does not say
	Sectors  uint32    // of the image, as the primary volume descriptor has it
	Files    []DiscFile
	Boot     []BootEntry

	r io.ReaderAt
}

// DiscFile is a file on a disc.
type DiscFile struct {
	Path       string // relative to the root, separated by slashes; the Rock Ridge name where there is one
	Size       int64  // bytes
	Executable bool
	Irregular  bool     // a symbolic link, a device or the like: it has no content
	Extents    []Extent // in the order of the content and of the disc; those that touch are one; none of no bytes
}

// Extent is a run of a file's bytes, from the start of a sector on.
type Extent struct {
	LBA  uint32
	Size int64 // bytes
}

// end is the offset in the image, in bytes, behind the extent.
func (e Extent) end() int64 { return e.start() + e.Size }

func (e Extent) start() int64 { return int64(e.LBA) * SectorSize }

// BootEntry is a bootable entry of the boot catalog without emulation of a drive.
type BootEntry struct {
	Platform Platform
	LBA      uint32
	Sectors  uint16 // that firmware loads, of 512 bytes each
}

// Size is the size of the image in bytes; what it was read from may have more.
func (d *Disc) Size() int64 { return int64(d.Sectors) * SectorSize }

// Over is the same disc with its bytes read from r: for sums of a disc of which some bytes are known to have changed.
func (d *Disc) Over(r io.ReaderAt) *Disc {
	over := *d
	over.r = r
	return &over
}

// Lookup returns the file with the given path, or nil.
func (d *Disc) Lookup(path string) *DiscFile {
	i, ok := slices.BinarySearchFunc(d.Files, path, func(f DiscFile, path string) int {
		return cmp.Compare(f.Path, path)
	})
	if !ok {
		return nil
	}
	return &d.Files[i]
}

// Reader reads the content of one of the disc's files.
func (d *Disc) Reader(f *DiscFile) io.Reader {
	parts := make([]io.Reader, 0, len(f.Extents))
	for _, e := range f.Extents {
		parts = append(parts, io.NewSectionReader(d.r, e.start(), e.Size))
	}
	if len(parts) == 1 {
		return parts[0] // which can seek
	}
	return io.MultiReader(parts...)
}

// ReadFile returns the content of the file with the given path, which must not have more than limit
// bytes. An error names the file.
func (d *Disc) ReadFile(path string, limit int64) ([]byte, error) {
	f := d.Lookup(path)
	path = printable.Line(path)
	if f == nil || f.Irregular {
		return nil, fmt.Errorf("%s: there is no such file on the disc", path)
	}
	if f.Size > limit {
		return nil, fmt.Errorf("%s: has %d bytes, at most %d make sense", path, f.Size, limit)
	}
	data := make([]byte, f.Size)
	if _, err := io.ReadFull(d.Reader(f), data); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

// ErrNoImage is what Open reports of bytes that are no ISO 9660 image at all.
var ErrNoImage = errors.New("this is no ISO 9660 image")

// Open reads the directories and the boot catalog of the image that r starts with; r has size bytes.
// An error names the file or the sector that is wrong. Files are sorted by their paths. Whatever the image
// says, the memory for all that is read is bounded by its size.
func Open(r io.ReaderAt, size int64) (*Disc, error) {
	d := &Disc{r: r}
	v, err := d.descriptors(size)
	if err != nil {
		return nil, err
	}
	w := &walk{disc: d, seen: map[uint32]string{}, total: totals{extents: map[Extent]bool{}}}
	if err := w.directory(v.root, "", 0); err != nil {
		return nil, err
	}
	slices.SortStableFunc(d.Files, func(a, b DiscFile) int { return cmp.Compare(a.Path, b.Path) })
	for i := 1; i < len(d.Files); i++ {
		if d.Files[i].Path == d.Files[i-1].Path {
			return nil, fmt.Errorf("file %q: is on the disc twice", d.Files[i].Path)
		}
	}
	if v.catalog != 0 {
		if err := d.readCatalog(v.catalog); err != nil {
			return nil, fmt.Errorf("boot catalog: sector %d: %w", v.catalog, err)
		}
	}
	return d, nil
}

// volume is what the descriptors say that Disc does not have.
type volume struct {
	root    Extent
	catalog uint32 // LBA of the boot catalog; 0 without
}

// descriptors reads the volume descriptors, ECMA-119 section 8.
func (d *Disc) descriptors(size int64) (v volume, err error) {
	primary := false
	for lba := uint32(lbaPrimary); lba < lbaPrimary+maxDescriptors; lba++ {
		b, err := d.sector(lba, size)
		if err != nil {
			return v, fmt.Errorf("volume descriptor: %w: %w", ErrNoImage, err)
		}
		if string(b[1:6]) != standardID {
			return v, fmt.Errorf("sector %d: %w: it holds no volume descriptor", lba, ErrNoImage)
		}
		switch {
		case b[0] == 1 && !primary:
			primary = true
			if v.root, err = d.primary(b, size); err != nil {
				return v, fmt.Errorf("sector %d: primary volume descriptor: %w", lba, err)
			}
		case b[0] == 0 && strings.HasPrefix(string(b[7:39]), torito):
			v.catalog = little.Uint32(b[71:])
		case b[0] == 255 && primary:
			return v, nil
		case b[0] == 255:
			return v, fmt.Errorf("sector %d: %w: there is no primary volume descriptor", lba, ErrNoImage)
		}
	}
	return v, fmt.Errorf("sector %d: the volume descriptors have no end", lbaPrimary+maxDescriptors)
}

// primary reads the primary volume descriptor, ECMA-119 section 8.4, and returns the root directory.
func (d *Disc) primary(b []byte, size int64) (root Extent, err error) {
	d.VolumeID = strings.TrimRight(string(b[40:72]), " \x00")
	d.Sectors = little.Uint32(b[80:])
	// A date that cannot be read is as good as none.
	d.ModTime, _ = time.Parse("20060102150405", string(b[813:827]))
	if unit := little.Uint16(b[128:]); unit != SectorSize {
		return root, fmt.Errorf("its blocks have %d bytes, only %d are known", unit, SectorSize)
	}
	if d.Size() > size {
		return root, fmt.Errorf("the image has %d bytes, %d are there: it is cut off", d.Size(), size)
	}
	record, err := parseRecord(b[156:190])
	if err != nil {
		return root, fmt.Errorf("root directory: %w", err)
	}
	return record.extent, nil
}

// sector reads a sector; the image has size bytes.
func (d *Disc) sector(lba uint32, size int64) ([]byte, error) {
	b := make([]byte, SectorSize)
	return b, d.readSector(b, lba, size)
}

// readSector reads a sector into b.
func (d *Disc) readSector(b []byte, lba uint32, size int64) error {
	at := int64(lba) * SectorSize
	if at+SectorSize > size {
		return fmt.Errorf("sector %d: is behind the end of the image", lba)
	}
	if n, err := d.r.ReadAt(b[:SectorSize], at); n < SectorSize {
		return fmt.Errorf("read sector %d: %w", lba, err)
	}
	return nil
}

// readCatalog reads the boot catalog, El Torito 1.0 section 2.
func (d *Disc) readCatalog(lba uint32) error {
	b, err := d.sector(lba, d.Size())
	if err != nil {
		return err
	}
	var sum uint16
	for i := 0; i < catalogEntrySize; i += 2 {
		sum += little.Uint16(b[i:])
	}
	if b[0] != headerValidation || b[30] != 0x55 || b[31] != 0xAA || sum != 0 {
		return errors.New("its validation entry is damaged")
	}
	if err := d.bootEntry(Platform(b[1]), b[catalogEntrySize:]); err != nil {
		return err
	}
	for b = b[2*catalogEntrySize:]; len(b) > 0 && (b[0] == headerSection || b[0] == headerLast); {
		platform, count, final := Platform(b[1]), int(little.Uint16(b[2:])), b[0] == headerLast
		b = b[catalogEntrySize:]
		for ; count > 0 && len(b) > 0; count-- {
			if err := d.bootEntry(platform, b); err != nil {
				return err
			}
			b = b[catalogEntrySize:]
		}
		if count > 0 {
			return fmt.Errorf("it has %d entries too few", count)
		}
		if final {
			break
		}
	}
	return nil
}

// bootEntry adds an entry of the catalog when it boots anything; what emulates a drive is left out.
func (d *Disc) bootEntry(platform Platform, b []byte) error {
	if b[0] != bootable || b[1]&0x0F != 0 {
		return nil
	}
	entry := BootEntry{Platform: platform, Sectors: little.Uint16(b[6:]), LBA: little.Uint32(b[8:])}
	if int64(entry.LBA)*SectorSize+int64(entry.Sectors)*bootSector > d.Size() {
		return fmt.Errorf("the boot image at sector %d lies behind the end of the disc", entry.LBA)
	}
	d.Boot = append(d.Boot, entry)
	return nil
}
