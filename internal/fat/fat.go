// Package fat writes small FAT12 and FAT16 file systems (Microsoft's "FAT: General Overview of
// On-Disk Format" 1.03; ECMA-107): EFI system partitions of boot discs. The same input gives the
// same bytes.
package fat

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"time"
)

// Geometry. A cluster is a sector of a CD, so that drives read whole clusters, and there is only
// one size of them: the biggest image has 128 MiB, four times what El Torito can boot.
const (
	sectorSize        = 512
	sectorsPerCluster = 4
	clusterSize       = sectorSize * sectorsPerCluster
	entrySize         = 32
	maxFAT12          = 4084  // clusters
	maxFAT16          = 65524 // clusters
)

// Attributes of a directory entry.
const (
	attrVolume    = 0x08
	attrDirectory = 0x10
	attrArchive   = 0x20
)

// File is a regular file. Its directories need no entry of their own.
type File struct {
	Path string // relative to the root, separated by slashes; every part 8.3
	Data []byte
}

// Image describes a file system.
type Image struct {
	Label   string    // volume label, at most 11 characters
	ID      uint32    // volume serial number
	ModTime time.Time // of everything in it; two seconds' resolution, UTC
	Files   []File
}

// Bytes is the smallest FAT image that holds the files: FAT12 up to 4084 clusters of 2 KiB,
// FAT16 beyond. A name that is not 8.3 or an image over 128 MiB is an error that names it.
func (img Image) Bytes() ([]byte, error) {
	if year := img.ModTime.UTC().Year(); year < 1980 || year > 2107 {
		return nil, fmt.Errorf("date FAT image %s: FAT holds the years 1980 to 2107",
			img.ModTime.UTC().Format(time.DateOnly))
	}
	label, err := labelName(img.Label)
	if err != nil {
		return nil, err
	}
	root, err := newTree(img.Files)
	if err != nil {
		return nil, err
	}
	v := &volume{modTime: img.ModTime.UTC(), fat: []uint16{0xFFF8, 0xFFFF}}
	entries := v.entry(label, attrVolume, 0, 0)
	entries = append(entries, v.entries(root, 0)...)
	if v.clusters() > maxFAT16 {
		return nil, fmt.Errorf("make FAT image: its files need %d clusters of %d bytes, there are at most %d",
			v.clusters(), clusterSize, maxFAT16)
	}
	return v.assemble(img.ID, label, entries), nil
}

// volume is the file system as far as it is allocated.
type volume struct {
	modTime time.Time
	fat     []uint16 // what follows each cluster, 16 bits wide whatever is written
	data    []byte   // from cluster 2 on
}

func (v *volume) clusters() int { return len(v.fat) - 2 }

// reserve allocates one run of clusters for size bytes and returns the first; 0 for no bytes.
func (v *volume) reserve(size int) (first int) {
	if size == 0 {
		return 0
	}
	first = len(v.fat)
	count := ceil(size, clusterSize)
	for i := 1; i < count; i++ {
		v.fat = append(v.fat, uint16(first+i))
	}
	v.fat = append(v.fat, 0xFFFF)
	v.data = append(v.data, make([]byte, count*clusterSize)...)
	return first
}

// fill writes b to the run of clusters that starts at first.
func (v *volume) fill(first int, b []byte) {
	if first != 0 {
		copy(v.data[(first-2)*clusterSize:], b)
	}
}

// entries stores what is below dir, whose own first cluster is self (0: the root), and returns
// dir's entries for it.
func (v *volume) entries(dir *node, self int) []byte {
	var list []byte
	for _, child := range dir.children {
		if child.directory {
			first := v.reserve((2 + len(child.children)) * entrySize)
			dots := append(v.entry(shortName("."), attrDirectory, first, 0),
				v.entry(shortName(".."), attrDirectory, self, 0)...)
			v.fill(first, append(dots, v.entries(child, first)...))
			list = append(list, v.entry(child.short, attrDirectory, first, 0)...)
			continue
		}
		first := v.reserve(len(child.data))
		v.fill(first, child.data)
		list = append(list, v.entry(child.short, attrArchive, first, len(child.data))...)
	}
	return list
}

// entry is a directory entry.
func (v *volume) entry(name [11]byte, attributes byte, cluster, size int) []byte {
	t := v.modTime
	date := uint16(t.Year()-1980)<<9 | uint16(t.Month())<<5 | uint16(t.Day())
	clock := uint16(t.Hour())<<11 | uint16(t.Minute())<<5 | uint16(t.Second()/2)
	le := binary.LittleEndian
	b := append(name[:len(name):len(name)], attributes, 0, 0)
	b = le.AppendUint16(b, clock) // created
	b = le.AppendUint16(b, date)
	b = le.AppendUint16(b, date) // read
	b = le.AppendUint16(b, 0)
	b = le.AppendUint16(b, clock) // modified
	b = le.AppendUint16(b, date)
	b = le.AppendUint16(b, uint16(cluster))
	return le.AppendUint32(b, uint32(size))
}

// assemble puts boot sector, two FATs, root directory and data together. The reserved sectors
// fill up to a cluster's border, so that clusters are whole sectors of the CD.
func (v *volume) assemble(id uint32, label [11]byte, root []byte) []byte {
	table, kind := v.table()
	rootSize := ceil(len(root), sectorSize) * sectorSize
	before := sectorSize + 2*len(table) + rootSize
	reserved := 1 + (ceil(before, clusterSize)*clusterSize-before)/sectorSize
	image := bootSector(geometry{
		reserved: reserved, fatSectors: len(table) / sectorSize, rootEntries: rootSize / entrySize,
		sectors: ceil(before, clusterSize)*sectorsPerCluster + len(v.data)/sectorSize,
		id:      id, label: label, kind: kind,
	})
	image = append(image, make([]byte, (reserved-1)*sectorSize)...)
	image = append(append(image, table...), table...)
	image = append(append(image, root...), make([]byte, rootSize-len(root))...)
	return append(image, v.data...)
}

// table is one FAT, padded to whole sectors, and its type's name.
func (v *volume) table() (table []byte, kind string) {
	kind = "FAT16   "
	if v.clusters() <= maxFAT12 {
		kind, table = "FAT12   ", pack12(v.fat)
	} else {
		for _, next := range v.fat {
			table = binary.LittleEndian.AppendUint16(table, next)
		}
	}
	return append(table, make([]byte, ceil(len(table), sectorSize)*sectorSize-len(table))...), kind
}

// pack12 packs two entries into three bytes.
func pack12(fat []uint16) []byte {
	var b []byte
	for pair := range slices.Chunk(fat, 2) {
		low, high := pair[0]&0xFFF, uint16(0)
		if len(pair) == 2 {
			high = pair[1] & 0xFFF
		}
		b = append(b, byte(low), byte(low>>8)|byte(high<<4), byte(high>>4))
	}
	return b
}

// geometry is what the boot sector says of the volume.
type geometry struct {
	reserved, fatSectors, rootEntries, sectors int
	id                                         uint32
	label                                      [11]byte
	kind                                       string
}

// bootSector is the first sector with the BIOS parameter block. It has no code: firmware that
// reads this file system does not run it.
func bootSector(g geometry) []byte {
	le := binary.LittleEndian
	b := append([]byte{0xEB, 0x3C, 0x90}, "MSDOS5.0"...)
	b = le.AppendUint16(b, sectorSize)
	b = append(b, sectorsPerCluster)
	b = le.AppendUint16(b, uint16(g.reserved))
	b = append(b, 2) // FATs
	b = le.AppendUint16(b, uint16(g.rootEntries))
	small, large := uint16(g.sectors), uint32(0)
	if g.sectors > math.MaxUint16 {
		small, large = 0, uint32(g.sectors)
	}
	b = le.AppendUint16(b, small)
	b = append(b, 0xF8) // fixed disk
	b = le.AppendUint16(b, uint16(g.fatSectors))
	b = le.AppendUint16(b, 32) // sectors a track
	b = le.AppendUint16(b, 64) // heads
	b = le.AppendUint32(b, 0)  // hidden sectors
	b = le.AppendUint32(b, large)
	b = append(b, 0x80, 0, 0x29) // drive; an extended record follows
	b = le.AppendUint32(b, g.id)
	b = append(append(b, g.label[:]...), g.kind...)
	b = append(b, make([]byte, sectorSize-2-len(b))...)
	return append(b, 0x55, 0xAA)
}

func ceil(n, unit int) int { return (n + unit - 1) / unit }

// node is a directory or a file of the tree; children are sorted by name.
type node struct {
	name      string
	short     [11]byte
	directory bool
	children  []*node
	data      []byte
}

// newTree makes the tree of files.
func newTree(files []File) (*node, error) {
	root := &node{directory: true}
	sorted := slices.SortedFunc(slices.Values(files), func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	for _, file := range sorted {
		if err := root.add(file); err != nil {
			return nil, fmt.Errorf("file %q: %w", file.Path, err)
		}
	}
	return root, nil
}

func (n *node) add(file File) error {
	if !fs.ValidPath(file.Path) || file.Path == "." {
		return errors.New(`want a path below the root, without ".." and empty parts`)
	}
	dir, name := n, file.Path
	for {
		first, rest, below := strings.Cut(name, "/")
		child, err := dir.child(first, below)
		if err != nil {
			return err
		}
		if !below {
			child.data = file.Data
			return nil
		}
		dir, name = child, rest
	}
}

// child finds the directory called name, or makes a new directory or file of that name.
func (n *node) child(name string, directory bool) (*node, error) {
	short, err := parseName(name)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(n.children, func(c *node) bool { return c.short == short })
	if i >= 0 && directory && n.children[i].directory {
		return n.children[i], nil
	}
	if i >= 0 {
		return nil, fmt.Errorf("%q is there already", n.children[i].name)
	}
	child := &node{name: name, short: short, directory: directory}
	n.children = append(n.children, child)
	return child, nil
}
