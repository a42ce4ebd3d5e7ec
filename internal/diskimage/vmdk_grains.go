package diskimage

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// From VMware's "Virtual Disk Format 5.0": hosted sparse extents. All numbers are little-endian, offsets in sectors
// of 512 bytes.
const (
	vmdkHeaderBytes = 512
	vmdkMagic       = "KDMV"
	vmdkOldMagic    = "COWD" // of ESX

	vmdkLineEndings = 1 << 0 // the header has line endings that show whether it was copied as text
	vmdkZeroGrains  = 1 << 2 // a table's entry of 1 is a grain of zeros
	vmdkCompressed  = 1 << 16
	vmdkMarkers     = 1 << 17

	vmdkAtEnd = 1<<64 - 1 // offset of the grain directory: in the footer, a second header before the end of the stream

	maxGrain       = 1 << 30 // bytes
	maxPackedGrain = 2 << 20 // it is unpacked into memory
	maxGrainTable  = 512     // entries
	markerBytes    = 12
	zeroGrain      = 1
)

// grains is a sparse extent: a directory of tables of grains.
type grains struct {
	file  *file
	pages *pages

	bytes     int64 // of the disk
	grain     int64 // bytes
	perTable  int64 // entries
	directory int64 // offset in the file, bytes
	flags     uint32
}

// openGrains opens a sparse extent that begins with head.
func openGrains(o *opener, f *file, head []byte) (*grains, error) {
	g, descriptor, err := parseGrains(head)
	if err == nil && g == nil { // the footer counts
		footer := make([]byte, vmdkHeaderBytes)
		if _, err := f.read(footer, max(0, f.size-2*vmdkHeaderBytes)); err != nil {
			return nil, err
		}
		if g, descriptor, err = parseGrains(footer); err == nil && g == nil {
			err = errors.New("no footer: not all of it was copied")
		}
	}
	if err == nil {
		g.file, g.pages = f, o.pages
		err = g.check(descriptor)
	}
	if err != nil {
		return nil, f.errorf("%w", err)
	}
	return g, nil
}

// place is a part of a file, in bytes.
type place struct{ offset, size uint64 }

// parseGrains reads a header. Without an error and without grains the footer has to be read in place of it.
// descriptor is where the descriptor is that is embedded in the file.
func parseGrains(b []byte) (g *grains, descriptor place, err error) {
	if len(b) < vmdkHeaderBytes || string(b[:4]) != vmdkMagic {
		if len(b) >= 4 && string(b[:4]) == vmdkOldMagic {
			return nil, place{}, errors.New("a disk of ESX (COWD); convert it with qemu-img convert -O qcow2 OLD NEW")
		}
		return nil, place{}, errors.New("not a VMDK; qemu-img info says what it is")
	}
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	version, capacity, grain, directory := u32(b[4:]), u64(b[12:]), u64(b[20:]), u64(b[56:])
	g = &grains{flags: u32(b[8:]), perTable: int64(u32(b[44:]))}
	descriptor = place{u64(b[28:]), u64(b[36:])}
	switch {
	case version == 0 || version > 3:
		return nil, place{}, fmt.Errorf("version %d of VMDK is unknown; "+
			"convert it with qemu-img convert -O qcow2 OLD NEW", version)
	case g.flags&vmdkLineEndings != 0 && string(b[73:77]) != "\n \r\n":
		return nil, place{}, errors.New("damaged: it was copied as text; copy it again, as binary data")
	case directory == vmdkAtEnd:
		return nil, place{}, nil
	case capacity > maxExtentSectors:
		return nil, place{}, fmt.Errorf("damaged header: a disk of %d sectors", capacity)
	case grain == 0 || grain > maxGrain/512:
		return nil, place{}, fmt.Errorf("damaged header: grains of %d sectors", grain)
	case g.perTable == 0 || g.perTable > maxGrainTable:
		return nil, place{}, fmt.Errorf("damaged header: grain tables of %d entries", g.perTable)
	case g.flags&vmdkCompressed != 0 && (grain > maxPackedGrain/512 || binary.LittleEndian.Uint16(b[77:]) != 1):
		return nil, place{}, fmt.Errorf("the compression of its grains, %d sectors by method %d, cannot be read here; "+
			"convert it with qemu-img convert -O qcow2 OLD NEW", grain, binary.LittleEndian.Uint16(b[77:]))
	case directory > 1<<53 || descriptor.offset > 1<<53 || descriptor.size > 1<<53:
		return nil, place{}, errors.New("damaged header: its offsets cannot be")
	}
	g.bytes, g.grain, g.directory = int64(capacity)*512, int64(grain)*512, int64(directory)*512
	return g, descriptor, nil
}

// check refuses a directory that is not in the file, and an extent that needs a parent.
func (g *grains) check(descriptor place) error {
	reach := g.grain * g.perTable
	if end := g.directory + (g.bytes+reach-1)/reach*4; end > g.file.size {
		return fmt.Errorf("the grain directory ends at offset %d, the file at %d: not all of it was copied",
			end, g.file.size)
	}
	size, at := min(descriptor.size*512, maxDescriptor), int64(descriptor.offset)*512
	if size == 0 || at+int64(size) > g.file.size {
		return nil
	}
	text := make([]byte, size)
	if _, err := g.file.read(text, at); err != nil {
		return err
	}
	return checkParent(string(text))
}

func (g *grains) size() int64 { return g.bytes }

func (g *grains) find(off, limit int64) (piece, error) {
	reach := g.grain * g.perTable
	entry, err := g.pages.view(g.file, g.directory+off/reach*4, 4, "the grain directory")
	if err != nil {
		return piece{}, err
	}
	table, inTable := int64(binary.LittleEndian.Uint32(entry))*512, off%reach
	if table == 0 {
		return piece{kind: absent, length: min(limit, reach-inTable)}, nil
	}
	index, inGrain := inTable/g.grain, off%g.grain
	entries, err := g.pages.view(g.file, table+index*4, 4, "a grain table")
	if err != nil {
		return piece{}, err
	}
	count := min(int64(len(entries)/4), g.perTable-index)
	p, err := join(grainUnits{g, entries}, 0, int(count), g.grain, inGrain, limit)
	if p.kind == Packed {
		return g.compressed(int64(binary.LittleEndian.Uint32(entries))*512, off, limit), err
	}
	p.file = g.file
	return p, err
}

// compressed makes a piece of a compressed grain. The last one of the disk may hold less than the others.
func (g *grains) compressed(at, off, limit int64) piece {
	inGrain := off % g.grain
	p := packed{
		file: g.file, offset: at, size: markerBytes + 2*g.grain,
		whole: int(min(g.grain, g.bytes-(off-inGrain))), skip: int(inGrain), method: unzlib,
	}
	if g.flags&vmdkMarkers != 0 {
		p.method = unmark
	}
	return piece{kind: Packed, length: min(limit, g.grain-inGrain), packed: p}
}

// grainUnits are the grains of part of a table.
type grainUnits struct {
	extent  *grains
	entries []byte
}

func (u grainUnits) unit(n int) (Kind, int64, error) {
	entry, flags := binary.LittleEndian.Uint32(u.entries[4*n:]), u.extent.flags
	switch {
	case entry == 0:
		return absent, 0, nil
	case entry == zeroGrain && flags&vmdkZeroGrains != 0:
		return Zero, 0, nil
	case flags&vmdkCompressed != 0:
		return Packed, 0, nil
	}
	return Data, int64(entry) * 512, nil
}
