package remaster

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"

	"github.com/diskfs/go-diskfs/partition/gpt"

	"github.com/zerodisc/zerodisc/grub"
	"github.com/zerodisc/zerodisc/internal/bytesize"
	"github.com/zerodisc/zerodisc/internal/iso9660"
)

// stick compares what a partition tool may change on a stick with the disc as it was written: the partitions in
// the boot record, the partition table and its backup, and the padding at the end, where a partition of the
// stick's owner can begin. All else, the boot code included, stays as it was.
type stick struct {
	*zerodisc
	head, tail       []byte // of the disc as it was written
	written, present *gpt.Table
	later            []*gpt.Partition // that are not the disc's
}

// errOtherDamage says that what differs is not, or not only, what a partition tool changes.
var errOtherDamage = errors.New("that was no partition tool")

// repartitioned says what a partition tool changed on the disc, for a person. It is an error when what differs
// from the disc as it was written is not, or not only, what such a tool changes; sum is what boot.MediumStructure
// holds.
func (m *medium) repartitioned(ctx context.Context, sum []byte) (string, error) {
	z, err := m.zerodisc()
	if err != nil {
		return "", err
	}
	s := &stick{zerodisc: z}
	for _, step := range []func() error{s.reconstruct, s.readPresent, s.checkBootRecord, s.checkKept, s.checkLater} {
		if err := step(); err != nil {
			return "", err
		}
	}
	over, err := s.overlay()
	if err != nil {
		return "", err
	}
	found, err := s.Over(over).Structure(ctx)
	switch {
	case err != nil:
		return "", err
	case found.Err != nil:
		return "", found.Err
	case !bytes.Equal(iso9660.StructureText(found.SHA256), sum):
		return "", errOtherDamage
	}
	return s.String(), nil
}

// reconstruct makes the tables as they were written.
func (s *stick) reconstruct() error {
	bios, hasBIOS := s.bootEntry(iso9660.BIOS)
	efi, hasEFI := s.bootEntry(iso9660.EFI)
	if !hasBIOS || !hasEFI {
		return errOtherDamage
	}
	image := s.fileAt(efi.LBA)
	if image < 0 {
		return errOtherDamage
	}
	mbr := make([]byte, bootSector)
	if n, err := s.file.ReadAt(mbr, 0); n < len(mbr) {
		return err
	}
	written := grub.Written{MediumID: s.mediumID(), Size: s.Size(), BIOS: bios.LBA,
		EFI: s.Files[image].Extents[0], MBR: mbr}
	var err error
	if s.head, s.tail, err = written.Disk(); err != nil {
		return err
	}
	s.written, err = partitions(bytes.NewReader(s.head))
	return err
}

// readPresent reads the table as it is. That it is as it was written is an error: it is not what differs.
func (s *stick) readPresent() error {
	var err error
	if s.present, err = partitions(s.file); err != nil {
		return err
	}
	now := make([]byte, len(s.head)-gptHeader)
	if n, err := s.file.ReadAt(now, gptHeader); n < len(now) {
		return err
	}
	if bytes.Equal(now, s.head[gptHeader:]) {
		return errOtherDamage
	}
	return nil
}

// checkBootRecord wants a protective boot record, UEFI specification 2.10, section 5.2.3: its only partition keeps
// tools away that know no GUID partition tables.
func (s *stick) checkBootRecord() error {
	slots := make([]byte, mbrMark-mbrSlots)
	if n, err := s.file.ReadAt(slots, mbrSlots); n < len(slots) {
		return err
	}
	protective := 0
	for slot := range slices.Chunk(slots, mbrSlotSize) {
		switch kind := slot[4]; kind {
		case 0:
		case 0xEE:
			protective++
		default:
			return fmt.Errorf("its master boot record has a partition of type %#x", kind)
		}
	}
	if protective != 1 {
		return errors.New("its master boot record does not protect the GUID partition table")
	}
	return nil
}

// same says whether two entries are of one kind and have one place.
func same(a, b *gpt.Partition) bool { return a.Type == b.Type && a.Start == b.Start && a.End == b.End }

// checkKept looks for the disc's own partitions, and lists the others.
func (s *stick) checkKept() error {
	kept := func(p *gpt.Partition) bool {
		return slices.ContainsFunc(s.written.Partitions, func(w *gpt.Partition) bool { return same(w, p) })
	}
	for _, w := range s.written.Partitions {
		if !slices.ContainsFunc(s.present.Partitions, func(p *gpt.Partition) bool { return same(w, p) }) {
			return fmt.Errorf("the partition table has lost or changed partition %d, %q", w.Index, w.Name)
		}
	}
	s.later = slices.DeleteFunc(slices.Clone(s.present.Partitions), kept)
	return nil
}

// end is the first sector of a disk behind the disc's own partitions.
func (s *stick) end() uint64 {
	var end uint64
	for _, p := range s.written.Partitions {
		end = max(end, p.End+1)
	}
	return end
}

// checkLater wants the partitions that are not the disc's behind its own.
func (s *stick) checkLater() error {
	for _, p := range s.later {
		if p.Start < s.end() {
			return fmt.Errorf("partition %d lies over the disc from sector %d on: "+
				"writing to it destroys the disc; delete it", p.Index, p.Start)
		}
	}
	return nil
}

// overlay is the stick with what a partition tool may change as it was written.
func (s *stick) overlay() (io.ReaderAt, error) {
	o := overlay{below: s.file}
	o.put(mbrSignature, s.head[mbrSignature:mbrMark])
	o.put(gptHeader, s.head[gptHeader:])
	size := s.Size()
	for _, p := range s.later {
		if start := int64(p.Start) * bootSector; start < size {
			o.put(start, make([]byte, min(int64(p.End+1)*bootSector, size)-start))
		}
	}
	if err := s.checkBackup(); err != nil {
		return nil, err
	}
	o.put(size-int64(len(s.tail)), s.tail)
	return o, nil
}

// checkBackup looks at the backup of the table, if that is still where the disc ends.
func (s *stick) checkBackup() error {
	primary := make([]byte, len(s.head))
	if n, err := s.file.ReadAt(primary, 0); n < len(primary) {
		return err
	}
	self := uint64(s.Size())/bootSector - 1
	if binary.LittleEndian.Uint64(primary[gptAlternate:]) != self {
		return nil // moved to the end of the stick, which is not the disc's
	}
	backup := make([]byte, len(s.tail))
	if n, err := s.file.ReadAt(backup, s.Size()-int64(len(backup))); n < len(backup) {
		return err
	}
	entries, header := backup[:len(backup)-bootSector], backup[len(backup)-bootSector:]
	if !bytes.Equal(entries, primary[gptEntries:]) || !isHeader(header, self) {
		return errors.New("the backup of the partition table is damaged")
	}
	return nil
}

// isHeader says whether a sector is the undamaged header of a GUID partition table that lies at self.
func isHeader(b []byte, self uint64) bool {
	const size, sum, place = 92, 16, 24
	header := slices.Clone(b[:size])
	clear(header[sum : sum+4])
	return string(b[:8]) == "EFI PART" && binary.LittleEndian.Uint64(b[place:]) == self &&
		binary.LittleEndian.Uint32(b[sum:]) == crc32.ChecksumIEEE(header)
}

// String says what changed.
func (s *stick) String() string {
	if len(s.later) == 0 {
		return "the partition table, by a partition tool; the disc itself is as it was written"
	}
	var list []string
	for _, p := range s.later {
		list = append(list, fmt.Sprintf("%d %q, %s", p.Index, p.Name, bytesize.Text(int64(p.Size))))
	}
	return "the partition table, which now has partition " + strings.Join(list, " and partition ") +
		"; the disc itself is as it was written"
}

// overlay is a disk of which some bytes are replaced.
type overlay struct {
	below   io.ReaderAt
	patches []patch // later ones count
}

type patch struct {
	at   int64
	data []byte
}

func (o *overlay) put(at int64, data []byte) { o.patches = append(o.patches, patch{at, data}) }

// ReadAt reads what is below, and what replaces it.
func (o overlay) ReadAt(b []byte, at int64) (int, error) {
	n, err := o.below.ReadAt(b, at)
	for _, p := range o.patches {
		from, to := max(at, p.at), min(at+int64(n), p.at+int64(len(p.data)))
		if from < to {
			copy(b[from-at:to-at], p.data[from-p.at:])
		}
	}
	return n, err
}
