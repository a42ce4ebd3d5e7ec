package iso9660

import (
	"encoding/binary"
	"time"
)

// standardID marks every volume descriptor, ECMA-119 section 8.1.
const standardID = "CD001"

// primary is the primary volume descriptor, ECMA-119 section 8.4.
func (l *Layout) primary(img *Image) []byte {
	b := make([]byte, 0, SectorSize)
	b = append(append(append(b, 1), standardID...), 1, 0)
	b = padded(b, "", 32) // system identifier
	b = padded(b, img.VolumeID, 32)
	b = zeros(b, 8)
	b = both32(b, l.sectors)
	b = zeros(b, 32)
	b = both16(b, 1) // volumes in the set
	b = both16(b, 1) // number of this volume
	b = both16(b, SectorSize)
	b = both32(b, l.pathBytes)
	b = little.AppendUint32(b, l.pathTables)
	b = little.AppendUint32(b, 0)
	b = big.AppendUint32(b, l.pathTables+l.pathSectors)
	b = big.AppendUint32(b, 0)
	b = append(b, l.directories[0].record(img, "\x00", nil)...)
	b = padded(b, "", 4*128+3*37) // volume set, publisher, preparer, application; three files
	b = longDate(b, img.ModTime)  // created
	b = longDate(b, img.ModTime)  // modified
	b = longDate(b, time.Time{})  // expires
	b = longDate(b, time.Time{})  // effective
	b = append(b, 1, 0)           // file structure version
	return zeros(b, SectorSize-len(b))
}

// terminator is the volume descriptor set terminator, ECMA-119 section 8.3.
func terminator() []byte {
	b := append(append([]byte{255}, standardID...), 1)
	return zeros(b, SectorSize-len(b))
}

// byteOrder is what encoding/binary's two orders have in common.
type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// pathTable is the path table of dirs in one byte order, ECMA-119 section 9.4.
func pathTable(dirs []*node, order byteOrder) []byte {
	var b []byte
	for _, dir := range dirs {
		ident := dir.ident.onDisc(true)
		if dir.parent == dir {
			ident = "\x00"
		}
		b = append(b, byte(len(ident)), 0)
		b = order.AppendUint32(b, dir.lba)
		b = order.AppendUint16(b, dir.parent.number)
		b = append(b, ident...)
		b = zeros(b, len(ident)%2)
	}
	return b
}
