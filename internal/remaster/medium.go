// Package remaster looks into finished discs, checks them, and makes new ones of them with more guests
// and other settings. It needs neither packages nor a network, and runs on every system that Go runs on.
package remaster

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/iso9660"
)

// maxText is the size in bytes of the longest text on a disc that is read into memory, but for the list of
// sums: that is as long as the files on the disc make it.
const maxText = 1 << 20

// sumsText reads the list of sums. How long it can be follows from the paths of the files; a damaged disc may
// have lost some of those.
func (m *medium) sumsText() ([]byte, error) {
	limit := int64(maxText)
	for _, f := range m.Files {
		limit += 2*sha256.Size + int64(len("\\  \n")+2*len(f.Path)) // each byte of the path may be escaped
	}
	return m.ReadFile(boot.MediumSums, limit)
}

// medium is an ISO image, or a device with one, that was opened.
type medium struct {
	*iso9660.Disc
	name  string // of the file or device
	file  *os.File
	bytes int64 // of the file or device
}

// openMedium opens the ISO image or the device name.
func openMedium(name string) (*medium, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	size, err := file.Seek(0, io.SeekEnd) // a device's size, too
	if err != nil {
		return nil, errors.Join(fmt.Errorf("size of %s: %w", name, err), file.Close())
	}
	disc, err := iso9660.Open(file, size)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), file.Close())
	}
	return &medium{Disc: disc, name: name, file: file, bytes: size}, nil
}

func (m *medium) Close() error { return m.file.Close() }

// zerodisc is what makes a medium a zerodisc disc.
type zerodisc struct {
	*medium
	built     built
	mediumIDs []string // by which dom0 and GRUB find it: the build id first, then those of remastering
}

// openZerodisc opens a disc of ours, and refuses others.
func openZerodisc(name string) (*zerodisc, error) {
	m, err := openMedium(name)
	if err != nil {
		return nil, err
	}
	z, err := m.zerodisc()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: this is no zerodisc disc: %w", name, err), m.Close())
	}
	return z, nil
}

func (m *medium) zerodisc() (*zerodisc, error) {
	text, err := m.ReadFile(builtName, maxText)
	if err != nil {
		return nil, err
	}
	z := &zerodisc{medium: m}
	if z.built, err = parseBuilt(string(text)); err != nil {
		return nil, fmt.Errorf("%s: %w", builtName, err)
	}
	if m.Lookup(path.Join(boot.MediumIDDir, z.built.ID)) == nil {
		return nil, fmt.Errorf("%s/%s is missing, by which it is found", boot.MediumIDDir, z.built.ID)
	}
	z.mediumIDs = []string{z.built.ID}
	for _, f := range m.Files {
		if id, ok := strings.CutPrefix(f.Path, boot.MediumIDDir+"/"); ok && id != z.built.ID {
			z.mediumIDs = append(z.mediumIDs, id)
		}
	}
	return z, nil
}

// mediumID is the one by which dom0 finds this disc and no other.
func (z *zerodisc) mediumID() string { return z.mediumIDs[len(z.mediumIDs)-1] }

// fileAt returns the index of the biggest file that starts at a sector; -1 for none.
func (m *medium) fileAt(lba uint32) int {
	best := -1
	for i, f := range m.Files {
		if len(f.Extents) > 0 && f.Extents[0].LBA == lba && (best < 0 || f.Size > m.Files[best].Size) {
			best = i
		}
	}
	return best
}

// bootEntry returns the first entry of the boot catalog for a platform.
func (m *medium) bootEntry(platform iso9660.Platform) (iso9660.BootEntry, bool) {
	i := slices.IndexFunc(m.Boot, func(e iso9660.BootEntry) bool { return e.Platform == platform })
	if i < 0 {
		return iso9660.BootEntry{}, false
	}
	return m.Boot[i], true
}
