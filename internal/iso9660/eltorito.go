package iso9660

// bootSector is the unit, in bytes, in which El Torito counts what firmware loads.
const bootSector = 512

// Marks of the boot catalog, El Torito 1.0 section 2.
const (
	headerValidation = 0x01
	headerSection    = 0x90
	headerLast       = 0x91
	bootable         = 0x88
)

// torito marks the volume descriptor that leads to the boot catalog, whose entries have
// catalogEntrySize bytes each.
const (
	torito           = "EL TORITO SPECIFICATION"
	catalogEntrySize = 32
)

// bootRecord is the volume descriptor that points to the boot catalog.
func bootRecord() []byte {
	b := append(append([]byte{0}, standardID...), 1)
	b = append(b, torito...)
	b = zeros(b, 71-len(b))
	b = little.AppendUint32(b, lbaCatalog)
	return zeros(b, SectorSize-len(b))
}

// catalog is the boot catalog: the first image is the default entry, each other has a section of its own.
func (l *Layout) catalog(images []BootImage) []byte {
	b := validation(images[0].Platform)
	b = append(b, l.catalogEntry(images[0])...)
	for i, image := range images[1:] {
		header := byte(headerSection)
		if i == len(images)-2 {
			header = headerLast
		}
		section := little.AppendUint16([]byte{header, byte(image.Platform)}, 1)
		b = append(b, zeros(section, catalogEntrySize-len(section))...)
		b = append(b, l.catalogEntry(image)...)
	}
	return zeros(b, SectorSize-len(b))
}

// validation is the entry that the catalog starts with; its words add up to zero.
func validation(platform Platform) []byte {
	b := zeros([]byte{headerValidation, byte(platform)}, 28)
	b = append(b, 0x55, 0xAA)
	var sum uint16
	for i := 0; i < len(b); i += 2 {
		sum += little.Uint16(b[i:])
	}
	little.PutUint16(b[28:], -sum)
	return b
}

// catalogEntry is the entry of one image, loaded without emulation at the default segment.
func (l *Layout) catalogEntry(image BootImage) []byte {
	sectors := image.LoadSectors
	if sectors == 0 {
		sectors = uint16((image.Content.Size + bootSector - 1) / bootSector)
	}
	b := []byte{bootable, 0, 0, 0, 0, 0}
	b = little.AppendUint16(b, sectors)
	b = little.AppendUint32(b, l.lbas[image.Content])
	return zeros(b, catalogEntrySize-len(b))
}
