package diskimage

import (
	"encoding/binary"
	"math/bits"
)

// vhdUnused is the entry of a block that is not in the file.
const vhdUnused = 0xffffffff

// vhd is a dynamic or differencing disk.
type vhd struct {
	*vhdHeader
	file  *file
	pages *pages
	bytes int64 // of the disk
	id    [16]byte

	bitmapSize int64 // bytes before the data of each block: a bit for each of its sectors
}

func openVHD(o *opener, f *file) (layer, *base, error) {
	footer, err := readVHDFooter(f)
	if err != nil {
		return nil, nil, err
	}
	v := &vhd{file: f, pages: o.pages, bytes: footer.size, id: footer.id}
	if footer.kind == vhdFixed {
		return v, nil, nil
	}
	if v.vhdHeader, err = readVHDHeader(f, footer); err != nil {
		return nil, nil, err
	}
	v.bitmapSize = (v.blockSize/512/8 + 511) &^ 511
	if footer.kind == vhdDynamic {
		return v, nil, nil
	}
	below, err := v.parent(f)
	return v, below, err
}

func (v *vhd) size() int64 { return v.bytes }

func (v *vhd) find(off, limit int64) (piece, error) {
	if v.vhdHeader == nil { // a fixed disk is raw, with a footer behind it
		return piece{kind: Data, length: limit, file: v.file, offset: off}, nil
	}
	block, inBlock := off/v.blockSize, off%v.blockSize
	entries, err := v.pages.view(v.file, v.table+4*block, 4, "the block allocation table")
	if err != nil {
		return piece{}, err
	}
	entry := binary.BigEndian.Uint32(entries)
	if entry == vhdUnused {
		return join(vhdBlocks{entries}, 0, len(entries)/4, v.blockSize, inBlock, limit)
	}
	return v.sectors(int64(entry)*512, inBlock, min(limit, v.blockSize-inBlock))
}

// sectors says what the sectors are of a block that is in the file. The bits of its bitmap are set for those that
// are: the others are in the parent, and zero where there is none.
func (v *vhd) sectors(block, inBlock, limit int64) (piece, error) {
	sector := inBlock / 512
	bitmap, err := v.pages.view(v.file, block+sector/8, 1, "the bitmap of a block")
	if err != nil {
		return piece{}, err
	}
	bitmap = bitmap[:min(int64(len(bitmap)), limit/512/8+2)] // no more than can be asked for
	set, count := sameBits(bitmap, int(sector%8))
	p := piece{kind: absent, length: min(limit, int64(count)*512-inBlock%512)}
	if set {
		p.kind, p.file, p.offset = Data, v.file, block+v.bitmapSize+inBlock
	}
	return p, nil
}

// sameBits returns the value of a bit of the bitmap's first byte, 0 being the most significant one, and how many
// there are of the same value from that one on.
func sameBits(bitmap []byte, first int) (set bool, count int) {
	set = bitmap[0]<<first&0x80 != 0
	var flip byte
	if set {
		flip = 0xff
	}
	count = min(bits.LeadingZeros8((bitmap[0]^flip)<<first), 8-first)
	if count < 8-first {
		return set, count
	}
	for _, b := range bitmap[1:] {
		if b != flip {
			return set, count + bits.LeadingZeros8(b^flip)
		}
		count += 8
	}
	return set, count
}

// vhdBlocks are entries of the block allocation table. Only those that are unused are joined.
type vhdBlocks struct{ entries []byte }

func (b vhdBlocks) unit(n int) (Kind, int64, error) {
	if binary.BigEndian.Uint32(b.entries[4*n:]) == vhdUnused {
		return absent, 0, nil
	}
	return Data, 0, nil
}
