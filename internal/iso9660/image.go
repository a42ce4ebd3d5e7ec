// Package iso9660 writes and reads ISO 9660 images (ECMA-119) with Rock Ridge names and modes (IEEE
// P1282) and El Torito boot entries. It writes a stream: names and sizes come first, the layout follows
// from them alone, then one sequential pass writes and hashes every file. Memory grows with the number
// of files, never with their sizes.
//
// The same input gives the same bytes: every date is Image.ModTime, owners are 0, modes are 0444
// and 0555, names are sorted. Directories may be deeper than the eight levels of ECMA-119 section
// 6.8.2.1; every reader in use follows them, and Rock Ridge's relocation would confuse more than help.
//
// An image can carry two files by which every bit of it is checked later. Image.Sums holds the SHA-256
// sum of every other file. Image.Structure holds the SHA-256 sum of everything that is no file's: all
// bytes of the image from the first to the last, in their order, without those that lie in the extent of a
// file. That is the system area, the volume descriptors and the boot catalog, the path tables and the
// directories, what comes between extents, the rest of each extent's last sector behind the end of its
// file, and the padding at the end. The extents of the two files themselves are left out too.
package iso9660

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// SectorSize is the size in bytes of a logical block; an LBA counts these.
const SectorSize = 2048

// SystemAreaSize is the size in bytes of what comes before the volume descriptors, free for
// boot code and partition tables.
const SystemAreaSize = 16 * SectorSize

// MaxName is the length in bytes of the longest file name that fits a directory record together
// with the other Rock Ridge entries.
const MaxName = 128

// ErrSize is what Write reports when a source gives fewer or more bytes than it was announced with.
var ErrSize = errors.New("the file changed while the image was written")

// File is a regular file of the image. Its directories need no entry of their own.
type File struct {
	Path       string // relative to the root, separated by slashes
	Content    *Content
	Executable bool // mode 0555 in place of 0444
}

// Platform is an El Torito platform id.
type Platform byte

// Platforms of El Torito 1.0 and, for EFI, of the UEFI specification, section 13.3.2.
const (
	BIOS Platform = 0x00
	EFI  Platform = 0xEF
)

// BootImage is a no-emulation El Torito entry.
type BootImage struct {
	Platform Platform
	Content  *Content
	// LoadSectors is how many 512-byte sectors the firmware loads; 0 means the whole image.
	LoadSectors uint16
}

// name says which image is meant where it has no path.
func (b BootImage) name() string {
	if b.Platform == EFI {
		return "EFI boot image"
	}
	return "BIOS boot image"
}

// Image describes an image to be written.
type Image struct {
	VolumeID string    // volume label, at most 32 letters, digits, '_', '-' and '.'
	ModTime  time.Time // of everything in the image; whole seconds, UTC
	Files    []File
	Boot     []BootImage // the first is the default entry; all lie at the start of the image
	// Hybrid, when not nil, gives what a firmware sees that takes the image for a disk: head is
	// the start of the system area, tail the last bytes of the image (a backup GPT). They have
	// room for SystemAreaSize and MaxTail bytes.
	Hybrid func(*Layout) (head, tail []byte, err error)
	// Sums, when not empty, is the path of a file that Write makes: the sums of all other files,
	// sorted by path, as sha256sum(1) writes them. It is the last file on the disc.
	Sums string
	// Structure, when not empty, is the path of a file that Write makes: the sum of all that is no
	// file's (see the package comment) in hexadecimal, and a newline.
	Structure string
}

// MaxTail is the size in bytes of the padding behind the last file, of which Hybrid may fill the
// end. Drives that read ahead over the end of a track need it; 150 sectors are the custom.
const MaxTail = 150 * SectorSize

// check finds what no layout could express.
func (img *Image) check() error {
	if err := checkVolumeID(img.VolumeID); err != nil {
		return err
	}
	if year := img.ModTime.UTC().Year(); year < 1970 || year > 2155 {
		return fmt.Errorf("date the image %s: ISO 9660 holds the years 1970 to 2155",
			img.ModTime.UTC().Format(time.DateOnly))
	}
	for _, file := range img.Files {
		if err := checkFile(file); err != nil {
			return err
		}
	}
	for _, image := range img.Boot {
		if err := checkBoot(image); err != nil {
			return err
		}
		if (img.Sums != "" || img.Structure != "") && !img.hasFile(image.Content) {
			return fmt.Errorf("%s: is no file of the image, so that no sum would cover it", image.name())
		}
	}
	return nil
}

func (img *Image) hasFile(content *Content) bool {
	return slices.ContainsFunc(img.Files, func(f File) bool { return f.Content == content })
}

// checkVolumeID allows more than the standard's capital letters, digits and underscores: what
// cloud images are told by ("cidata", "config-2") is read everywhere too.
func checkVolumeID(id string) error {
	if id == "" || len(id) > 32 {
		return fmt.Errorf("volume label %q: want 1 to 32 characters, have %d", id, len(id))
	}
	for _, r := range id {
		if !isLabelRune(r) {
			return fmt.Errorf("volume label %q: %q is not a letter, digit, '_', '-' or '.'", id, r)
		}
	}
	return nil
}

func isLabelRune(r rune) bool {
	return 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || strings.ContainsRune("_-.", r)
}

func checkFile(file File) error {
	if !fs.ValidPath(file.Path) || file.Path == "." || strings.ContainsRune(file.Path, 0) {
		return fmt.Errorf("file %q: want a path below the root, in UTF-8, without \"..\" and empty parts", file.Path)
	}
	for name := range strings.SplitSeq(file.Path, "/") {
		if len(name) > MaxName {
			return fmt.Errorf("file %q: the name %q has %d bytes, at most %d fit; shorten it",
				file.Path, name, len(name), MaxName)
		}
	}
	if err := checkDepth(file.Path); err != nil {
		return err
	}
	return checkContent(printable.Line(file.Path), file.Content)
}

func checkContent(name string, content *Content) error {
	if content == nil || content.Open == nil {
		return fmt.Errorf("%s: has no content", name)
	}
	if content.Size < 0 {
		return fmt.Errorf("%s: has a size of %d bytes", name, content.Size)
	}
	if whole := content.whole; whole != nil {
		return checkSlice(name, content, whole)
	}
	return nil
}

func checkSlice(name string, content, whole *Content) error {
	if content.offset%SectorSize != 0 {
		return fmt.Errorf("%s: starts at byte %d of another file, no multiple of %d", name, content.offset, SectorSize)
	}
	if content.offset < 0 || content.offset > whole.Size-content.Size {
		return fmt.Errorf("%s: is %d bytes from byte %d on of another file, which has %d",
			name, content.Size, content.offset, whole.Size)
	}
	return nil
}

// checkBoot holds a boot image to the 16 bits that its catalog entry has for the size.
func checkBoot(image BootImage) error {
	if err := checkContent(image.name(), image.Content); err != nil {
		return err
	}
	if image.Content.Size == 0 {
		return fmt.Errorf("%s: is empty", image.name())
	}
	if image.LoadSectors == 0 && image.Content.Size > math.MaxUint16*bootSector {
		return fmt.Errorf("%s: has %d bytes, firmware loads at most %d",
			image.name(), image.Content.Size, math.MaxUint16*bootSector)
	}
	return nil
}
