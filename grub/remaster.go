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
	if len(m.MBR) < diskSector || m.MBR[mbrMark] != 0x55 || m.MBR[mbrMark+1] != 0xAA {
		return errors.New("sector 0 holds no master boot record: the disc does not boot from a stick")
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
