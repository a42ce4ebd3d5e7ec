package statefile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrUnclean says that a file system was not unmounted: what it says of its files may be wrong.
var ErrUnclean = errors.New("the file system that holds it was not unmounted cleanly")

// Clean is an error where a file system of this type was in use when it was taken away, or is damaged, by its own
// account. r is its device.
func Clean(r io.ReaderAt, kind string) error {
	unclean, err := map[string]func(io.ReaderAt) (bool, error){
		"vfat": fatUnclean, "exfat": exfatUnclean, "ext4": ext4Unclean,
	}[kind](r)
	if err != nil {
		return fmt.Errorf("read the file system's superblock: %w", err)
	}
	if unclean {
		return ErrUnclean
	}
	return nil
}

// fatUnclean reads what Linux and Windows note in a FAT file system. Linux has a byte in the boot sector, of which the
// lowest bit is set while it is mounted; Windows has two bits of the FAT's second entry, which are not set while it is
// mounted, and after a read error (Microsoft, "FAT32 File System Specification" 1.03). FAT12 has none.
func fatUnclean(r io.ReaderAt) (bool, error) {
	var b [512]byte
	if _, err := r.ReadAt(b[:], 0); err != nil {
		return false, err
	}
	le := binary.LittleEndian
	sector, reserved, fatSectors := int64(le.Uint16(b[11:])), int64(le.Uint16(b[14:])), int64(le.Uint16(b[22:]))
	fat32 := fatSectors == 0
	state := b[0x25]
	if fat32 {
		state, fatSectors = b[0x41], int64(le.Uint32(b[36:]))
	}
	total := int64(le.Uint16(b[19:]))
	if total == 0 {
		total = int64(le.Uint32(b[32:]))
	}
	if sector < 512 || b[13] == 0 {
		return false, errors.New("it makes no sense")
	}
	root := int64(le.Uint16(b[17:])) * 32 / sector
	clusters := (total - reserved - int64(b[16])*fatSectors - root) / int64(b[13])
	var entries [8]byte
	if _, err := r.ReadAt(entries[:], reserved*sector); err != nil {
		return false, err
	}
	const leastFAT16 = 4085 // clusters
	switch {
	case state&1 != 0:
		return true, nil
	case fat32:
		return le.Uint32(entries[4:])>>26&3 != 3, nil
	case clusters >= leastFAT16:
		return le.Uint16(entries[2:])>>14 != 3, nil
	}
	return false, nil
}

// exfatUnclean reads the bits VolumeDirty and MediaFailure (Microsoft, "exFAT file system specification", 3.1.13).
func exfatUnclean(r io.ReaderAt) (bool, error) {
	var flags [2]byte
	_, err := r.ReadAt(flags[:], 106)
	return binary.LittleEndian.Uint16(flags[:])&(1<<1|1<<2) != 0, err
}

// ext4Unclean reads s_state, of which bit 0 says that it was unmounted and bit 1 that errors were found, and whether
// there is a journal to be replayed (Linux, Documentation/filesystems/ext4/super.rst).
func ext4Unclean(r io.ReaderAt) (bool, error) {
	const superblock, atState, atIncompat, needsRecovery = 1024, 58, 96, 4
	var b [100]byte
	_, err := r.ReadAt(b[:], superblock)
	le := binary.LittleEndian
	return le.Uint16(b[atState:])&3 != 1 || le.Uint32(b[atIncompat:])&needsRecovery != 0, err
}
