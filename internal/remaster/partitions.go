package remaster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/diskfs/go-diskfs/partition/gpt"

	"github.com/zerodisc/zerodisc/internal/iso9660"
)

// bootSector is the size in bytes of a disk's sector.
const bootSector = 512

// Places in bytes: the boot record's partitions (with the disk's signature before them) and its mark, the GUID
// partition table's header with its backup's sector, and the table itself.
const (
	mbrSignature = 440
	mbrSlots     = 446
	mbrSlotSize  = 16
	mbrMark      = 510
	gptHeader    = bootSector
	gptAlternate = gptHeader + 32
	gptEntries   = 2 * bootSector
)

// bootRecord describes the hybrid master boot record.
func (m *medium) bootRecord() string {
	b := make([]byte, bootSector)
	if n, err := m.file.ReadAt(b, 0); n < len(b) {
		return fmt.Sprintf("no: %v", err)
	}
	if b[mbrMark] != 0x55 || b[mbrMark+1] != 0xAA || b[0] == 0 {
		return "no: sector 0 holds no boot code"
	}
	return "boot code in the master boot record"
}

// Limits of a GUID partition table: its size in bytes (it lies before the volume descriptors), and the sectors
// of a disk: 63 bits can count their bytes.
const (
	maxTable   = iso9660.SystemAreaSize
	maxSectors = 1 << 53
)

var errTable = errors.New("the GUID partition table is damaged")

// partitions reads the GUID partition table that lies at the start of a disk, and holds it to its sums.
// go-diskfs takes the table's own word for its size, and panics when that is more than memory can be.
func partitions(disk io.ReaderAt) (*gpt.Table, error) {
	header := make([]byte, bootSector)
	if n, err := disk.ReadAt(header, gptHeader); n < len(header) {
		return nil, err
	}
	if string(header[:8]) != "EFI PART" {
		return nil, errors.New("there is no GUID partition table")
	}
	count, size := binary.LittleEndian.Uint32(header[80:]), binary.LittleEndian.Uint32(header[84:])
	if size < 128 || uint64(count)*uint64(size) > maxTable ||
		binary.LittleEndian.Uint64(header[72:]) > maxTable/bootSector {
		return nil, errTable
	}
	table, err := gpt.Read(primaryOnly{ReaderAt: disk}, bootSector, bootSector)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errTable, err)
	}
	if len(table.Partitions) == 0 {
		return nil, errors.New("the GUID partition table is empty")
	}
	for _, p := range table.Partitions {
		if p.Start > p.End || p.End >= maxSectors {
			return nil, fmt.Errorf("%w: partition %d goes from sector %d to %d", errTable, p.Index, p.Start, p.End)
		}
	}
	return table, nil
}

// primaryOnly is a disk whose end is not found, so that go-diskfs does not look for a backup of the
// table there, which nobody has checked.
type primaryOnly struct {
	fs.File
	io.ReaderAt
}

func (primaryOnly) Seek(int64, int) (int64, error) { return 0, errors.ErrUnsupported }
