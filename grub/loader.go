// Package grub makes the boot chain of a medium out of Debian's GRUB packages: the images that
// BIOS and UEFI start, the system area that makes the disc a bootable disk too, and the menu.
package grub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/fat"
	"github.com/zerodisc/zerodisc/internal/iso9660"
)

// Paths of the boot images in the ISO's tree. Firmware finds them by the boot catalog and the
// partition table; the names are for tools, which otherwise take the images for lost. The plain
// EFI program makes a FAT stick with a copy of the files start on UEFI.
const (
	biosImagePath  = "boot/grub/bios.img"
	efiImagePath   = "boot/grub/efi.img"
	efiProgramPath = "EFI/BOOT/BOOTX64.EFI"
)

// Loader is GRUB for one build.
type Loader struct {
	BuildID string
	BIOS    []byte // El Torito image: cdboot, diskboot, core
	EFI     []byte // PE program
	MBR     []byte // code of the hybrid master boot record
}

// hybridMBR is the boot code for a disc image that lies on a disk.
var hybridMBR = need{modulesDir + "/i386-pc/boot_hybrid.img", "grub-pc-bin"}

// buildIDs are what may stand unquoted in GRUB's rescue parser and as a file name.
var buildIDs = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$`)

func checkBuildID(id string) error {
	if !buildIDs.MatchString(id) {
		return fmt.Errorf("build id %q: want 1 to 64 letters, digits, '.', '_' and '-'", id)
	}
	return nil
}

// Build makes the loader that finds its medium by buildID. payload is the directory that
// Debian's packages grub-common, grub-pc-bin and grub-efi-amd64-bin and their libraries are unpacked in.
func Build(ctx context.Context, payload, buildID string) (*Loader, error) {
	if err := checkBuildID(buildID); err != nil {
		return nil, err
	}
	if err := check(payload, []need{hybridMBR}); err != nil {
		return nil, fmt.Errorf("read hybrid boot record: %w", err)
	}
	mbr, err := os.ReadFile(filepath.Join(payload, hybridMBR.path))
	if err != nil {
		return nil, err
	}
	bios, err := mkimage(ctx, payload, biosDisk, buildID)
	if err != nil {
		return nil, err
	}
	efi, err := mkimage(ctx, payload, efiDisk, buildID)
	if err != nil {
		return nil, err
	}
	return &Loader{BuildID: buildID, BIOS: bios, EFI: efi, MBR: mbr}, nil
}

// AddTo makes img bootable from CD and disk by BIOS and UEFI: boot images, system area and the
// files that they need on the medium, but not the menu. It replaces img's Boot and Hybrid.
func (l *Loader) AddTo(img *iso9660.Image) error {
	if len(l.BIOS) < biosMinimum || len(l.MBR) < mbrCodeSize {
		return fmt.Errorf("GRUB's BIOS images have %d and %d bytes, less than %d and %d: they are not whole",
			len(l.BIOS), len(l.MBR), biosMinimum, mbrCodeSize)
	}
	esp, err := l.systemPartition(img)
	if err != nil {
		return err
	}
	bios, efi := iso9660.Bytes(l.BIOS), iso9660.Bytes(esp)
	bios.Patch = patchBIOS
	img.Boot = []iso9660.BootImage{
		{Platform: iso9660.BIOS, Content: bios, LoadSectors: 4},
		{Platform: iso9660.EFI, Content: efi},
	}
	img.Hybrid = func(layout *iso9660.Layout) (head, tail []byte, err error) {
		return l.hybrid(layout, bios, efi)
	}
	img.Files = append(img.Files,
		iso9660.File{Path: biosImagePath, Content: bios},
		iso9660.File{Path: efiImagePath, Content: efi},
		iso9660.File{Path: efiProgramPath, Content: l.inside(esp, efi)},
		iso9660.File{Path: path.Join(boot.MediumIDDir, l.BuildID), Content: iso9660.Bytes(nil)},
	)
	return nil
}

// inside is the EFI program as a part of the FAT image that it lies in anyway: the disc has it once.
func (l *Loader) inside(esp []byte, image *iso9660.Content) *iso9660.Content {
	at := bytes.Index(esp, l.EFI)
	if at < 0 || at%iso9660.SectorSize != 0 { // FAT clusters are sectors of the disc, package fat
		return iso9660.Bytes(l.EFI)
	}
	return image.Slice(int64(at), int64(len(l.EFI)))
}

// systemPartition is the FAT image that UEFI starts from. Its label differs from the medium's,
// by which dom0 looks for the medium.
func (l *Loader) systemPartition(img *iso9660.Image) ([]byte, error) {
	id := l.derive("fat")
	image := fat.Image{
		Label: "ESP", ID: binary.LittleEndian.Uint32(id[:]), ModTime: img.ModTime,
		Files: []fat.File{{Path: efiProgramPath, Data: l.EFI}},
	}
	b, err := image.Bytes()
	if err != nil {
		return nil, fmt.Errorf("make EFI system partition: %w", err)
	}
	return b, nil
}

// derive makes an identifier that is the same for the same build, one for each use.
func (l *Loader) derive(use string) [16]byte {
	sum := sha256.Sum256([]byte(use + "\x00" + l.BuildID))
	return [16]byte(sum[:])
}

// hybrid is what a disk's firmware reads of the image.
func (l *Loader) hybrid(layout *iso9660.Layout, bios, efi *iso9660.Content) (head, tail []byte, err error) {
	biosLBA, hasBIOS := layout.LBA(bios)
	efiLBA, hasEFI := layout.LBA(efi)
	if !hasBIOS || !hasEFI {
		return nil, nil, errors.New("the image has lost GRUB's boot images")
	}
	head, tail = l.disk(layout.Size(), biosLBA, iso9660.Extent{LBA: efiLBA, Size: efi.Size})
	return head, tail, nil
}

// disk is what a disk's firmware reads of an image of so many bytes: the boot record and the partition table at
// its start, the backup of the table at its end. bios is the sector of the BIOS image.
func (l *Loader) disk(size int64, bios uint32, efi iso9660.Extent) (head, tail []byte) {
	d := disk{
		sectors: uint64(size) / diskSector,
		bios:    uint64(bios) * sectorRatio,
		esp:     uint64(efi.LBA) * sectorRatio, espSectors: uint64(efi.Size) / diskSector,
		diskID: l.derive("disk"), espID: l.derive("esp"), dataID: l.derive("data"),
	}
	primary, backup := d.gpt()
	return append(d.mbr(l.MBR), primary...), backup
}
