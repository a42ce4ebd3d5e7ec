package blkid

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/bits"
	"strings"
	"unicode/utf16"
)

// block is a piece of a device. Its methods read little-endian numbers unless their names say otherwise; the
// offsets that they are given lie within it.
type block []byte

func (b block) u16(at int) uint16  { return binary.LittleEndian.Uint16(b[at:]) }
func (b block) u32(at int) uint32  { return binary.LittleEndian.Uint32(b[at:]) }
func (b block) u64(at int) uint64  { return binary.LittleEndian.Uint64(b[at:]) }
func (b block) be16(at int) uint16 { return binary.BigEndian.Uint16(b[at:]) }
func (b block) be32(at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
func (b block) be64(at int) uint64 { return binary.BigEndian.Uint64(b[at:]) }

// has says whether text stands at an offset, which may lie outside.
func (b block) has(at int, text string) bool {
	return len(b) >= at+len(text) && string(b[at:at+len(text)]) == text
}

// zero says whether n bytes are zero.
func (b block) zero(at, n int) bool {
	return strings.Trim(string(b[at:at+n]), "\x00") == ""
}

// text is a field of n bytes up to its first NUL, without the white space at its end.
func (b block) text(at, n int) string {
	text, _, _ := strings.Cut(string(b[at:at+n]), "\x00")
	return trimRight(text)
}

// utf16 is a field of n bytes of UTF-16 up to its first NUL, without the white space at its end. What is no
// character becomes U+FFFD.
func (b block) utf16(order binary.ByteOrder, at, n int) string {
	var units []uint16
	for i := at; i+1 < at+n; i += 2 {
		unit := order.Uint16(b[i:])
		if unit == 0 {
			break
		}
		units = append(units, unit)
	}
	return trimRight(string(utf16.Decode(units)))
}

// product is the size of so many units, as far as there are numbers for it.
func product(units, unit uint64) int64 {
	high, low := bits.Mul64(units, unit)
	if high > 0 || low > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(low)
}

// uuid is a UUID of 16 bytes in the order in which it is written, "" for all zeros.
func (b block) uuid(at int) string {
	if b.zero(at, 16) {
		return ""
	}
	return dashes(b[at : at+16])
}

// guid is a UUID whose first three parts are little-endian numbers, as UEFI and Microsoft store them.
func (b block) guid(at int) string {
	g := append(block(nil), b[at:at+16]...)
	binary.BigEndian.PutUint32(g, b.u32(at))
	binary.BigEndian.PutUint16(g[4:], b.u16(at+4))
	binary.BigEndian.PutUint16(g[6:], b.u16(at+6))
	return g.uuid(0)
}

func dashes(id []byte) string {
	h := hex.EncodeToString(id)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// trimRight removes white space as isspace(3) knows it.
func trimRight(s string) string { return strings.TrimRight(s, " \t\n\v\f\r") }

// powerOfTwo says whether n is one between least and most, which are.
func powerOfTwo[T uint8 | uint16 | uint32 | uint64](n, least, most T) bool {
	return n >= least && n <= most && n&(n-1) == 0
}
