package diskimage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// Limits of a qcow2 image. They are QEMU's own, so that nobody has images beyond them.
const (
	minClusterBits, maxClusterBits = 9, 21
	minExtendedBits                = 14 // clusters of at least 32 subclusters of 512 bytes
	maxL1Entries                   = 32 << 20 / 8
	maxBackingName                 = 1023
	maxExtensions                  = 64
)

// The incompatible features of version 3.
const (
	featureDirty       = 1 << 0 // refcounts may be wrong: only a writer needs them
	featureCorrupt     = 1 << 1
	featureDataFile    = 1 << 2
	featureCompression = 1 << 3
	featureExtendedL2  = 1 << 4

	featuresKnown = featureDirty | featureCorrupt | featureDataFile | featureCompression | featureExtendedL2
)

const (
	qcow2Magic      = "QFI\xfb"
	qcow2HeaderV2   = 72  // bytes
	qcow2HeaderV3   = 104 // at least; what follows is optional
	qcow2HeaderRead = 105 // up to the last field that matters here

	extensionEnd           = 0
	extensionBackingFormat = 0xe2792aca
)

// qcow2Header is what matters of the header. Offsets and sizes are in bytes.
type qcow2Header struct {
	version                       uint32
	backingOffset                 uint64
	backingSize                   uint32
	clusterBits                   uint32
	size                          uint64
	encryption                    uint32
	l1Entries                     uint32
	l1Offset                      uint64
	features                      uint64
	length                        uint32
	compression                   byte
	backingName, backingFormat    string
	extended                      bool
	tableBits                     uint32 // log2 of the entries of an L2 table
	l1Needed                      int64  // entries
	clusterSize, entrySize, reach int64  // reach: bytes of the disk that one L2 table describes
}

// readQCOW2Header reads the header of an image (qemu: docs/interop/qcow2.rst) with its extensions.
func readQCOW2Header(f *file) (*qcow2Header, error) {
	b, err := f.head(qcow2HeaderRead)
	if err != nil {
		return nil, err
	}
	h, err := parseQCOW2Header(b)
	if err == nil {
		err = h.check(f.size)
	}
	if err != nil {
		return nil, f.errorf("%w", err)
	}
	if h.backingOffset == 0 {
		return h, nil
	}
	if h.backingFormat, err = h.readBackingFormat(f); err != nil {
		return nil, err
	}
	name := make([]byte, h.backingSize)
	if _, err := f.read(name, int64(h.backingOffset)); err != nil {
		return nil, err
	}
	h.backingName = string(name)
	return h, nil
}

// parseQCOW2Header takes the fields from b, which has qcow2HeaderRead bytes unless the file has fewer.
func parseQCOW2Header(b []byte) (*qcow2Header, error) {
	if len(b) < 4 || string(b[:4]) != qcow2Magic {
		return nil, errors.New("not a qcow2 image; qemu-img info says what it is")
	}
	short := fmt.Errorf("the file has only %d bytes of a header: not all of it was copied", len(b))
	if len(b) < qcow2HeaderV2 {
		return nil, short
	}
	u32, u64 := binary.BigEndian.Uint32, binary.BigEndian.Uint64
	h := &qcow2Header{
		version: u32(b[4:]), backingOffset: u64(b[8:]), backingSize: u32(b[16:]), clusterBits: u32(b[20:]),
		size: u64(b[24:]), encryption: u32(b[32:]), l1Entries: u32(b[36:]), l1Offset: u64(b[40:]),
		length: qcow2HeaderV2,
	}
	if h.version == 3 {
		if len(b) < qcow2HeaderV3 {
			return nil, short
		}
		h.features, h.length = u64(b[72:]), u32(b[100:])
		if h.length > qcow2HeaderV3 && len(b) > qcow2HeaderV3 {
			h.compression = b[qcow2HeaderV3]
		}
	}
	return h, nil
}

// check refuses what cannot be read, and computes what follows from the fields. fileSize is in bytes.
func (h *qcow2Header) check(fileSize int64) error {
	if err := h.checkFeatures(); err != nil {
		return err
	}
	h.extended = h.features&featureExtendedL2 != 0
	h.entrySize = 8
	if h.extended {
		h.entrySize = 16
	}
	if h.clusterBits < minClusterBits || h.clusterBits > maxClusterBits ||
		h.extended && h.clusterBits < minExtendedBits {
		return fmt.Errorf("damaged header: clusters of 2 to the power of %d bytes", h.clusterBits)
	}
	h.clusterSize = 1 << h.clusterBits
	h.tableBits = h.clusterBits - uint32(bits.TrailingZeros64(uint64(h.entrySize)))
	h.reach = h.clusterSize << h.tableBits
	if h.size > 1<<62 {
		return fmt.Errorf("damaged header: a disk of %d bytes", h.size)
	}
	h.l1Needed = (int64(h.size) + h.reach - 1) / h.reach
	return h.checkPlaces(fileSize)
}

// checkPlaces refuses offsets in the header that cannot be.
func (h *qcow2Header) checkPlaces(fileSize int64) error {
	cluster := uint64(h.clusterSize)
	switch {
	case h.l1Needed > int64(h.l1Entries) || h.l1Needed > maxL1Entries:
		return fmt.Errorf("damaged header: an L1 table of %d entries for a disk of %d bytes", h.l1Entries, h.size)
	case h.l1Offset%cluster != 0 || h.l1Offset > 1<<62:
		return fmt.Errorf("damaged header: an L1 table at offset %d", h.l1Offset)
	case int64(h.l1Offset)+h.l1Needed*8 > fileSize:
		return fmt.Errorf("the L1 table ends beyond the end of the file, which has %d bytes: "+
			"not all of it was copied", fileSize)
	case h.version == 3 && (h.length < qcow2HeaderV3 || h.length%8 != 0 || uint64(h.length) > cluster):
		return fmt.Errorf("damaged header: a header of %d bytes", h.length)
	case h.backingOffset == 0:
		return nil
	case h.backingSize == 0 || h.backingSize > maxBackingName ||
		h.backingOffset > cluster || h.backingOffset+uint64(h.backingSize) > cluster:
		return fmt.Errorf("damaged header: the name of the backing file has %d bytes at offset %d",
			h.backingSize, h.backingOffset)
	}
	return nil
}

// checkFeatures refuses images whose content cannot be read or trusted.
func (h *qcow2Header) checkFeatures() error {
	const convert = "make a plain image of it with qemu-img convert -O qcow2 OLD NEW"
	compressed := h.features&featureCompression != 0
	for _, c := range []struct {
		yes  bool
		says string
	}{
		{h.version == 1, "an image of the old format qcow; " + convert},
		{h.version < 2 || h.version > 3, fmt.Sprintf("version %d of qcow2 is unknown; %s", h.version, convert)},
		{h.encryption != 0, "the image is encrypted; decrypt it with qemu-img convert, " +
			"whose manual says how to give it the passphrase (--object secret, --image-opts)"},
		{h.features&featureDataFile != 0, "its data is in a file of its own (data_file); " + convert},
		{h.features&^featuresKnown != 0, fmt.Sprintf("it has features that are unknown here (bits %s); %s",
			bitList(h.features&^featuresKnown), convert)},
		{h.features&featureCorrupt != 0, "it is marked as corrupt: " +
			"repair a copy of it with qemu-img check -r all, then look at what it holds"},
		{h.compression > 1, fmt.Sprintf("compression method %d is unknown; %s", h.compression, convert)},
		{compressed != (h.compression != 0), "damaged header: it contradicts itself about its compression method"},
	} {
		if c.yes {
			return errors.New(c.says)
		}
	}
	return nil
}

// bitList writes the numbers of the bits that are set.
func bitList(v uint64) string {
	var list []string
	for ; v != 0; v &= v - 1 {
		list = append(list, fmt.Sprint(bits.TrailingZeros64(v)))
	}
	return strings.Join(list, ", ")
}

// readBackingFormat looks for the backing file's format in the extensions of the header: "" where it is not recorded.
func (h *qcow2Header) readBackingFormat(f *file) (string, error) {
	var head [8]byte
	at, end := int64(h.length), int64(h.backingOffset)
	for range maxExtensions {
		if at+int64(len(head)) > end {
			return "", nil
		}
		if _, err := f.read(head[:], at); err != nil {
			return "", err
		}
		kind, size := binary.BigEndian.Uint32(head[:]), int64(binary.BigEndian.Uint32(head[4:]))
		at += int64(len(head))
		switch {
		case kind == extensionEnd:
			return "", nil
		case size > end-at:
			return "", f.errorf("damaged header: extension %#x has %d bytes", kind, size)
		case kind == extensionBackingFormat:
			return readFormatName(f, at, size)
		}
		at += (size + 7) &^ 7
	}
	return "", nil
}

// readFormatName reads the name of a format, of which QEMU has none longer than 15 bytes.
func readFormatName(f *file, at, size int64) (string, error) {
	if size > 15 {
		return "", f.errorf("damaged header: the format of the backing file has a name of %d bytes", size)
	}
	name := make([]byte, size)
	_, err := f.read(name, at)
	return string(name), err
}

// backingFormats are the formats that a qcow2 header can name, as they are called here.
var backingFormats = map[string]string{"raw": "raw", "qcow2": "qcow2", "vpc": "vhd", "vmdk": "vmdk"}

// backing returns what the image is based on, nil for nothing.
func (h *qcow2Header) backing(f *file) (*base, error) {
	if h.backingOffset == 0 {
		return nil, nil
	}
	name, plain := printable.Line(h.backingName), printable.Line(baseName(h.backingName))
	rebase := func(format string) string {
		return fmt.Sprintf("put %s into the directory of the image and run qemu-img rebase -u -F %s -b %s %s there",
			plain, format, plain, printable.Line(baseName(f.name)))
	}
	format, known := backingFormats[h.backingFormat]
	switch {
	case h.backingFormat == "":
		return nil, f.errorf("the format of its backing file %s is not recorded, and to guess it is not safe; "+
			"find it out with qemu-img info %s; %s", name, name, rebase("FORMAT"))
	case !known:
		return nil, f.errorf("its backing file %s has the format %q, which cannot be read here; "+
			"make one file of both with qemu-img convert -O qcow2 OLD NEW", name, h.backingFormat)
	case strings.HasPrefix(h.backingName, "json:") || strings.Contains(h.backingName, "://"):
		return nil, f.errorf("its backing file is not a file: %s; "+
			"make one file with qemu-img convert -O qcow2 OLD NEW", name)
	case strings.HasPrefix(h.backingName, "/"):
		return nil, f.errorf("its backing file has an absolute path, %s, but can only be in the guest's directory; %s",
			name, rebase(h.backingFormat))
	}
	return &base{names: []string{f.sibling(h.backingName)}, format: format, remedy: rebase(h.backingFormat)}, nil
}
