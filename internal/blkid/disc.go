package blkid

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"
)

// A disc's descriptors, of both ISO 9660 and UDF, begin behind the system area of 16 sectors (ECMA-119, 6.2.1;
// ECMA-167, 2/8.3).
const (
	discSector      = 2048
	discDescriptors = 16 * discSector
)

// findISO reads the volume descriptors of ISO 9660 (ECMA-119, 8) in the disc's first session. The UUID is a date, the
// modification's or else the creation's.
func findISO(d *disk) (Content, bool) {
	var primary, joliet block
	for n := range uint64(16) {
		v := d.at(discDescriptors+n*discSector, discSector)
		if !v.has(1, "CD001") || v[0] == 0xff {
			break
		}
		switch {
		case primary == nil && v[0] == 1:
			primary = v
		case joliet == nil && v[0] == 2 && isJoliet(v):
			joliet = v
		}
	}
	if primary == nil || !d.isoRoot(primary) {
		return Content{}, false
	}
	content := Content{
		Label: primary.text(40, 32), UUID: isoDate(primary[830:847]),
		Bytes: product(uint64(primary.u32(80)), uint64(primary.u16(128))),
	}
	if content.UUID == "" {
		content.UUID = isoDate(primary[813:830])
	}
	if joliet != nil {
		content.Version = "Joliet Extension"
		content.Label = jolietLabel(joliet[40:72], primary[40:72])
	}
	return content, true
}

// isJoliet says whether a supplementary descriptor has names in UCS-2 (Joliet specification, "Escape Sequences").
func isJoliet(v block) bool {
	return v.has(88, "%/@") || v.has(88, "%/C") || v.has(88, "%/E")
}

// isoRoot checks that the root directory begins with its entry for itself: the descriptor alone may be a disc's image
// that lies as a file at this place of another file system.
func (d *disk) isoRoot(primary block) bool {
	const recordSize = 34
	root := primary[156:]
	extent, blockSize := root.u32(2), primary.u16(128)
	if blockSize == 0 || root.u32(10) < recordSize {
		return false
	}
	self := d.at(uint64(extent)*uint64(blockSize), recordSize)
	return self != nil && self[0] >= recordSize && self[32] == 1 && self[33] == 0 && self.u32(2) == extent
}

// isoDate writes a date (ECMA-119, 8.4.26.1) as blkid does, without its time zone. "" is none, which 16 digits
// "0" say, or one that is not made of digits.
func isoDate(b block) string {
	digits := string(b[:16])
	if strings.Trim(digits, "0123456789") != "" || strings.Trim(digits, "0") == "" && b[16] == 0 {
		return ""
	}
	parts := []string{digits[:4]}
	for at := 4; at < 16; at += 2 {
		parts = append(parts, digits[at:at+2])
	}
	return strings.Join(parts, "-")
}

// jolietLabel joins the two labels of a disc: Joliet's has all characters, but only the first 16 of them; the other
// has "_" for those that ISO 9660 has not.
func jolietLabel(unicode, ascii block) string {
	units := make([]uint16, 0, len(ascii))
	for i, c := range ascii {
		if 2*i+1 >= len(unicode) {
			units = append(units, uint16(c))
			continue
		}
		unit := unicode.be16(2 * i)
		switch {
		case c == '_':
			units = append(units, unit)
		case unit == '_':
			units = append(units, uint16(c))
		case unit < utf8.RuneSelf && upper(byte(unit)) == upper(c):
			if upper(c) == c {
				c = byte(unit)
			}
			units = append(units, uint16(c))
		default: // another label
			return unicode.utf16(binary.BigEndian, 0, len(unicode))
		}
	}
	merged := make(block, 2*len(units))
	for i, unit := range units {
		binary.BigEndian.PutUint16(merged[2*i:], unit)
	}
	return merged.utf16(binary.BigEndian, 0, len(merged))
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

// Tags of UDF's descriptors (ECMA-167, 3/7.2.1), and how many of them a sequence may have.
const (
	udfPrimary    = 1
	udfAnchor     = 2
	udfLogical    = 6
	udfTerminator = 8
	udfIntegrity  = 9
	udfSequence   = 64
)

// findUDF follows UDF's descriptors to those that name the volume. Label and UUID are those of libblkid (UDF 2.60,
// 2.2.4.2 and 2.2.2.5).
func findUDF(d *disk) (Content, bool) {
	for _, size := range []uint64{uint64(d.sector), 512, 1024, 2048, 4096} {
		if !d.udfRecognised(max(size, discSector)) {
			continue
		}
		for _, at := range []uint64{256, 512} {
			if anchor := d.udfTag(at, size, udfAnchor); anchor != nil {
				return d.udfVolume(size, anchor.u32(16), uint64(anchor.u32(20)))
			}
		}
	}
	return Content{}, false
}

// udfRecognised looks for the sequence of descriptors that announces UDF (ECMA-167, 2/8.3.1), each step bytes
// behind the other.
func (d *disk) udfRecognised(step uint64) bool {
	for n := range uint64(udfSequence) {
		v := d.at(discDescriptors+n*step, 7)
		switch {
		case v.has(1, "NSR02"), v.has(1, "NSR03"):
			return true
		case v.has(1, "BEA01"), v.has(1, "BOOT2"), v.has(1, "CD001"), v.has(1, "CDW02"), v.has(1, "TEA01"):
		default:
			return false
		}
	}
	return false
}

// udfTag reads the descriptor in a block, if it is one of the kind and says that it belongs there.
func (d *disk) udfTag(at, size uint64, kind uint16) block {
	v := d.at(at*size, 512)
	if v == nil || v.u16(0) != kind || uint64(v.u32(12)) != at {
		return nil
	}
	return v
}

// udfVolume reads the sequence of length bytes that begins in block start.
func (d *disk) udfVolume(size uint64, length uint32, start uint64) (Content, bool) {
	var content Content
	var revision uint16
	for n := range min(uint64(length)/size, udfSequence) {
		v := d.at((start+n)*size, 512)
		if v == nil || v.u16(0) == 0 || v.u16(0) == udfTerminator || uint64(v.u32(12)) != start+n {
			break
		}
		switch {
		case v.u16(0) == udfPrimary && content.UUID == "" && udfCharset(v[200:]):
			content.UUID = udfUUID(v[72:200])
		case v.u16(0) == udfLogical:
			if revision == 0 && v.has(217, "*OSTA UDF Compliant") {
				revision = max(v.u16(240), d.udfIntegrity(size, v))
			}
			if content.Label == "" && udfCharset(v[20:]) {
				content.Label = trimRight(udfText(v[84:212]))
			}
		}
	}
	// Decimal digits: 0x0201 is 2.01.
	content.Version = fmt.Sprintf("%x.%02x", revision>>8, revision&0xff)
	return content, revision != 0
}

// udfIntegrity reads the revision that the volume's integrity descriptor asks of readers and writers.
func (d *disk) udfIntegrity(size uint64, logical block) uint16 {
	const fixed, implementation = 80, 46
	length, at := logical.u32(432), uint64(logical.u32(436))
	if logical.u32(268) == 0 || length < 512 { // no partition: no such descriptor
		return 0
	}
	v := d.udfTag(at, size, udfIntegrity)
	if v == nil || v.u32(76) < implementation {
		return 0
	}
	use := d.at(at*size+fixed+8*uint64(v.u32(72)), implementation)
	if use == nil {
		return 0
	}
	return max(use.u16(40), use.u16(42))
}

// udfCharset says whether texts are in OSTA's compressed Unicode, the one that UDF allows.
func udfCharset(b block) bool { return b.has(0, "\x00OSTA Compressed Unicode\x00") }

// udfText reads a dstring: compression, characters, and in the last byte how many bytes these two have (UDF 2.60, 2.1.1
// and 2.1.3). Others than the two compressions are not read.
func udfText(b block) string {
	text := b[1 : 1+min(max(int(b[len(b)-1])-1, 0), len(b)-2)]
	switch b[0] {
	case 8, 254: // Latin-1
		runes := make([]rune, len(text))
		for i, c := range text {
			runes[i] = rune(c)
		}
		s, _, _ := strings.Cut(string(runes), "\x00")
		return s
	case 16, 255:
		return text.utf16(binary.BigEndian, 0, len(text))
	}
	return ""
}

// udfUUID makes a UUID of the identifier of the volume set as libblkid does: of its first 16 bytes in UTF-8 if they
// are hexadecimal digits; else the first 8 stand for themselves if they are, and what follows is written in digits.
func udfUUID(set block) string {
	text := []byte(udfText(set))
	if len(text) < 8 {
		return ""
	}
	text = append(text, make([]byte, 16)...)[:16]
	digits := 0
	for digits < len(text) && strings.IndexByte("0123456789abcdefABCDEF", text[digits]) >= 0 {
		digits++
	}
	lower := strings.ToLower(string(text))
	switch {
	case digits < 8:
		return hex.EncodeToString(text[:8])
	case digits < 16:
		return lower[:8] + hex.EncodeToString(text[8:12])
	}
	return lower
}
