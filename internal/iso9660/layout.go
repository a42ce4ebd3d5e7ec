package iso9660

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// Places that are the same in every image.
const (
	lbaPrimary    = SystemAreaSize / SectorSize
	lbaBootRecord = lbaPrimary + 1
	lbaTerminator = lbaPrimary + 2
	lbaCatalog    = lbaPrimary + 3
	lbaFirstImage = lbaPrimary + 4
)

// bootAlignment is where boot images start, in sectors: the EFI image is a partition too, and
// partition tools warn of one that does not start on a 4 KiB block.
const bootAlignment = 4096 / SectorSize

// extent is a run of sectors that holds one Content.
type extent struct {
	content *Content
	name    string // for errors: the first path, or which boot image
	lba     uint32
}

// Layout says where everything lies. It depends on names and sizes only.
type Layout struct {
	boot        []extent
	pathTables  uint32 // LBA of the little-endian one; the big-endian one follows
	pathSectors uint32 // of one path table
	pathBytes   uint32 // of one path table
	directories []*node
	references  uint32 // LBA of the Rock Ridge ER entry
	files       []extent
	padding     uint32 // LBA of the end of the last file
	sectors     uint32
	lbas        map[*Content]uint32

	all       []File   // with those that the writer makes
	sums      *Content // the file of Image.Sums; nil without
	structure *Content // the file of Image.Structure; nil without
}

// Size is the size of the image in bytes.
func (l *Layout) Size() int64 { return int64(l.sectors) * SectorSize }

// LBA is the sector where content starts; false when it is not part of the image.
func (l *Layout) LBA(content *Content) (uint32, bool) {
	lba, ok := l.lbas[content]
	return lba, ok
}

// Layout checks img and computes the place of everything in it.
func (img *Image) Layout() (*Layout, error) {
	if err := img.check(); err != nil {
		return nil, err
	}
	l := &Layout{lbas: map[*Content]uint32{}}
	if err := l.addMade(img); err != nil {
		return nil, err
	}
	root, err := newTree(l.all)
	if err != nil {
		return nil, err
	}
	if l.directories, err = directories(root); err != nil {
		return nil, err
	}
	cursor := &cursor{next: lbaFirstImage}
	l.placeBoot(cursor, img.Boot)
	l.placeDirectories(cursor)
	if err := l.placeFiles(cursor); err != nil {
		return nil, err
	}
	l.padding = cursor.take("padding", MaxTail)
	l.sectors = uint32(cursor.next)
	if cursor.err != nil {
		return nil, cursor.err
	}
	return l, l.checkTotals()
}

// placeBoot puts boot images first: low addresses, the same for every set of files.
func (l *Layout) placeBoot(c *cursor, images []BootImage) {
	for _, image := range images {
		if _, ok := l.lbas[image.Content]; ok {
			continue
		}
		c.align(bootAlignment)
		l.boot = append(l.boot, l.place(c, image.name(), image.Content))
	}
}

func (l *Layout) placeDirectories(c *cursor) {
	l.pathBytes = uint32(len(pathTable(l.directories, little)))
	l.pathSectors = uint32(sectorsOf(int64(l.pathBytes)))
	l.pathTables = c.take("path tables", 2*int64(l.pathSectors)*SectorSize)
	for _, dir := range l.directories {
		dir.size = uint32(len(l.directory(dir, &Image{})))
		dir.lba = c.take("directory "+printable.Line(dir.name), int64(dir.size))
	}
	l.references = c.take("Rock Ridge reference", SectorSize)
}

// addMade adds the files that the writer makes, whose sizes are known, to those of img.
func (l *Layout) addMade(img *Image) error {
	l.all = slices.Clone(img.Files)
	add := func(name string, size int64) (*Content, error) {
		file := File{Path: name, Content: Bytes(nil)}
		file.Content.Size = size
		l.all = append(l.all, file)
		return file.Content, checkFile(file)
	}
	var err error
	if img.Structure != "" {
		if l.structure, err = add(img.Structure, structureSize); err != nil {
			return err
		}
	}
	if img.Sums == "" {
		return nil
	}
	list, err := FormatSums(sumsOf(l.all, nil)) // as long as with the sums
	if err != nil {
		return err
	}
	l.sums, err = add(img.Sums, int64(len(list)))
	return err
}

// summed are the files that the list of sums has, all but itself.
func (l *Layout) summed() []File {
	return slices.DeleteFunc(slices.Clone(l.all), func(f File) bool { return f.Content == l.sums })
}

// placeFiles puts small files first: GRUB's configuration and the like then lie next to the
// directories, and what is big is read without a seek. A slice gets its place after what it is a
// slice of, and the list of sums is the last: only then is it known.
func (l *Layout) placeFiles(c *cursor) error {
	sorted := l.summed()
	slices.SortFunc(sorted, func(a, b File) int {
		return cmp.Or(cmp.Compare(a.Content.Size, b.Content.Size), cmp.Compare(a.Path, b.Path))
	})
	for _, file := range sorted {
		if _, ok := l.lbas[file.Content]; !ok && file.Content.whole == nil {
			l.files = append(l.files, l.place(c, file.Path, file.Content))
		}
	}
	for _, file := range sorted {
		if file.Content.whole == nil {
			continue
		}
		start, ok := l.lbas[file.Content.whole]
		if !ok {
			return fmt.Errorf("%s: is part of a file that is not in the image", printable.Line(file.Path))
		}
		l.lbas[file.Content] = start + uint32(file.Content.offset/SectorSize)
	}
	if l.sums != nil {
		l.files = append(l.files, l.place(c, l.all[len(l.all)-1].Path, l.sums))
	}
	return nil
}

// checkTotals refuses what Open would.
func (l *Layout) checkTotals() error {
	total := totals{entries: len(l.directories) - 1, extents: map[Extent]bool{}}
	for _, file := range l.all {
		size := file.Content.Size
		records := max(1, (size+maxExtent-1)/maxExtent)
		total.add(file.Path, int(records), Extent{LBA: l.lbas[file.Content], Size: size})
	}
	return total.check(l.Size())
}

func (l *Layout) place(c *cursor, name string, content *Content) extent {
	name = printable.Line(name)
	lba := c.take(name, content.Size)
	l.lbas[content] = lba
	return extent{content: content, name: name, lba: lba}
}

// cursor hands out sectors in order and keeps the first error.
type cursor struct {
	next uint64
	err  error
}

func (c *cursor) align(sectors uint64) {
	c.next = (c.next + sectors - 1) / sectors * sectors
}

// take gives the LBA of the next size bytes.
func (c *cursor) take(name string, size int64) uint32 {
	lba := c.next
	c.next += sectorsOf(size)
	if c.next > math.MaxUint32 && c.err == nil {
		c.err = fmt.Errorf("%s: %d bytes do not fit, an image ends at 8 TiB", name, size)
	}
	return uint32(lba)
}

func sectorsOf(size int64) uint64 {
	return (uint64(size) + SectorSize - 1) / SectorSize
}
