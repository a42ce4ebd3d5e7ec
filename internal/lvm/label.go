// Package lvm reads the metadata of LVM2 (lib/format_text of its sources) and works out which device-mapper tables
// make its logical volumes readable. It writes nothing, and knows neither locks nor any other host.
package lvm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
)

const (
	sector     = 512
	idSize     = 32      // of a UUID without its hyphens
	maxAreas   = 8       // of each kind on a physical volume; LVM makes at most two
	maxSectors = 1 << 54 // of a device: 8 EiB
)

// PV is a physical volume.
type PV struct {
	Device string // whatever the caller knows it by
	ID     string // its UUID without hyphens
	Data   io.ReaderAt

	sectors uint64
	group   *group // of the newest metadata on it; nil where it has none
	text    int    // bytes of those
}

// MetadataBytes says how much the volume's metadata take up.
func (p *PV) MetadataBytes() int { return p.text }

// extent is a range of a device, in bytes.
type extent struct{ offset, size uint64 }

// Read reads the label of a physical volume on a device of size bytes, and what metadata it has; nil means that
// there is no label. Damaged metadata are no error as long as there is a label: another volume of the group
// may have them too. Damaged says what is wrong with them.
func Read(device io.ReaderAt, size int64) (pv *PV, damaged, err error) {
	if size < 4*sector || size/sector > maxSectors {
		return nil, nil, nil
	}
	head := make([]byte, 4*sector)
	if _, err := device.ReadAt(head, 0); err != nil {
		return nil, nil, fmt.Errorf("read LVM label: %w", err)
	}
	pv, areas, err := parseLabel(head)
	if err != nil || pv == nil {
		return nil, nil, err
	}
	pv.Data, pv.sectors = device, uint64(size)/sector
	var errs []error
	for _, area := range areas {
		found, length, err := readArea(device, area, uint64(size))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if found != nil && (pv.group == nil || found.seqno > pv.group.seqno) {
			pv.group, pv.text = found, length
		}
	}
	return pv, errors.Join(errs...), nil
}

// sum is LVM's checksum: CRC-32 with a seed of its own, and without the last step.
func sum(b []byte) uint32 {
	const seed = 0xf597a6cf
	return ^crc32.Update(^uint32(seed), crc32.IEEETable, b)
}

// parseLabel looks for a label in the first four sectors and returns the places of the volume's metadata. Layout
// (lib/label/label.h, lib/format_text/layout.h): "LABELONE", number of the sector, checksum of what follows, offset of
// the header, "LVM2 001"; the header is the UUID, the device's size, and two lists of areas that zeros end.
func parseLabel(head []byte) (*PV, []extent, error) {
	for i := range len(head) / sector {
		b := head[i*sector:][:sector]
		if string(b[:8]) != "LABELONE" || string(b[24:32]) != "LVM2 001" {
			continue
		}
		if n := binary.LittleEndian.Uint64(b[8:]); n != uint64(i) {
			return nil, nil, fmt.Errorf("LVM label in sector %d: it says that it is in sector %d", i, n)
		}
		if got, want := sum(b[20:]), binary.LittleEndian.Uint32(b[16:]); got != want {
			return nil, nil, fmt.Errorf("LVM label: its checksum is %08x and should be %08x", want, got)
		}
		return parseHeader(b)
	}
	return nil, nil, nil
}

func parseHeader(label []byte) (*PV, []extent, error) {
	offset := uint64(binary.LittleEndian.Uint32(label[20:]))
	if offset < 32 || offset > sector-idSize-8 {
		return nil, nil, fmt.Errorf("LVM label: a header at byte %d", offset)
	}
	id := string(label[offset:][:idSize])
	if !validID(id) {
		return nil, nil, fmt.Errorf("LVM label: %q is no UUID", id)
	}
	rest := label[offset+idSize+8:]
	_, rest, err := parseAreas(rest) // of data: where extents start is in the metadata, too
	if err != nil {
		return nil, nil, err
	}
	areas, _, err := parseAreas(rest)
	return &PV{ID: id}, areas, err
}

// parseAreas reads a list of areas and returns what follows it.
func parseAreas(b []byte) (areas []extent, rest []byte, err error) {
	for len(b) >= 16 {
		e := extent{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
		b = b[16:]
		if e.offset == 0 {
			return areas, b, nil
		}
		if areas = append(areas, e); len(areas) > maxAreas {
			return nil, nil, fmt.Errorf("LVM label: more than %d areas", maxAreas)
		}
	}
	return nil, nil, errors.New("LVM label: a list of areas without end")
}

// validID says whether id is a UUID without hyphens.
func validID(id string) bool {
	const chars = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!#"
	return len(id) == idSize && strings.Trim(id, chars) == ""
}

// parseID reads a UUID as metadata have it, with hyphens.
func parseID(text string) (string, bool) {
	id := strings.ReplaceAll(text, "-", "")
	return id, validID(id)
}

// withHyphens writes a UUID as LVM's tools do.
func withHyphens(id string) string {
	var parts []string
	for _, n := range []int{6, 4, 4, 4, 4, 4, 6} {
		parts, id = append(parts, id[:n]), id[n:]
	}
	return strings.Join(parts, "-")
}
