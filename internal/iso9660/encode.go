package iso9660

import (
	"encoding/binary"
	"time"
)

// Short names for the two orders in which ECMA-119 wants its numbers.
var (
	little = binary.LittleEndian
	big    = binary.BigEndian
)

// both16 appends v in both byte orders, ECMA-119 section 7.2.3.
func both16(b []byte, v uint16) []byte {
	return big.AppendUint16(little.AppendUint16(b, v), v)
}

// both32 appends v in both byte orders, ECMA-119 section 7.3.3.
func both32(b []byte, v uint32) []byte {
	return big.AppendUint32(little.AppendUint32(b, v), v)
}

// zeros appends n zero bytes.
func zeros(b []byte, n int) []byte {
	return append(b, make([]byte, n)...)
}

// padded appends s and spaces up to n bytes.
func padded(b []byte, s string, n int) []byte {
	b = append(b, s...)
	for range n - len(s) {
		b = append(b, ' ')
	}
	return b
}

// shortDate appends a date of seven bytes, ECMA-119 section 9.1.5.
func shortDate(b []byte, t time.Time) []byte {
	t = t.UTC()
	return append(b, byte(t.Year()-1900), byte(t.Month()), byte(t.Day()),
		byte(t.Hour()), byte(t.Minute()), byte(t.Second()), 0)
}

// longDate appends a date of 17 bytes, ECMA-119 section 8.4.26.1; the zero time means "not set".
func longDate(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(append(b, "0000000000000000"...), 0)
	}
	return append(append(b, t.UTC().Format("20060102150405")+"00"...), 0)
}
