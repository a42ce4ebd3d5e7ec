package grub

import (
	"errors"
	"fmt"

	"github.com/zerodisc/zerodisc/internal/iso9660"
)

// maxBIOS is more than any BIOS image of GRUB's has, in bytes: it is patched in memory.
const maxBIOS = 16 << 20

// Made are the parts of a disc that a Loader made bootable, for another disc with more on it.
type Made struct {
	MediumID string           // of the new disc; its partition table differs from the old disc's
	BIOS     *iso9660.Content // El Torito image; it keeps its bytes but for the place where it lies
	EFI      *iso9660.Content // FAT image; it keeps its bytes
	MBR      []byte           // first sector of the disc
}

// AddTo makes img bootable as Loader.AddTo does. Its files have to include both images already, and
// the file by which GRUB finds the disc. It replaces img's Boot and Hybrid, and patches the BIOS image.
func (m Made) AddTo(img *iso9660.Image) error {
	if m.BIOS.Size < biosMinimum || m.BIOS.Size > maxBIOS {
		return fmt.Errorf("the BIOS boot image has %d bytes, GRUB's has %d to %d", m.BIOS.Size, biosMinimum, maxBIOS)
	}
	if m.EFI.Size == 0 || m.EFI.Size%diskSector != 0 {
		return fmt.Errorf("the EFI boot image has %d bytes, want sectors of %d", m.EFI.Size, diskSector)
	}
	if err := checkMBR(m.MBR); err != nil {
		return err
	}
	m.BIOS.Patch = patchBIOS
	img.Boot = []iso9660.BootImage{
		{Platform: iso9660.BIOS, Content: m.BIOS, LoadSectors: 4},
		{Platform: iso9660.EFI, Content: m.EFI},
	}
	l := &Loader{BuildID: m.MediumID, MBR: m.MBR}
	img.Hybrid = func(layout *iso9660.Layout) (head, tail []byte, err error) {
		return l.hybrid(layout, m.BIOS, m.EFI)
	}
	return nil
}

func checkMBR(sector []byte) error {
	if len(sector) < diskSector || sector[mbrMark] != 0x55 || sector[mbrMark+1] != 0xAA {
		return errors.New("sector 0 holds no master boot record: the disc does not boot from a stick")
	}
	return nil
}

// Written is what a finished disc was made bootable with, as far as a partition tool can change it on a stick.
type Written struct {
	MediumID string
	Size     int64          // of the image, bytes
	BIOS     uint32         // sector of the El Torito image
	EFI      iso9660.Extent // of the FAT image
	MBR      []byte         // first sector of the disc, of which only the boot code counts
}

// Disk returns the start and the end of the disc as they were written: the master boot record and the GUID
// partition table, and the backup of the table.
func (w Written) Disk() (head, tail []byte, err error) {
	if err := checkMBR(w.MBR); err != nil {
		return nil, nil, err
	}
	l := &Loader{BuildID: w.MediumID, MBR: w.MBR}
	head, tail = l.disk(w.Size, w.BIOS, w.EFI)
	return head, tail, nil
}
