package fat

import (
	"fmt"
	"strings"
)

// parseName is name as a directory entry has it: 8 characters and 3, capital, padded with
// spaces. Long names would need entries of their own and no boot file has one.
func parseName(name string) (short [11]byte, err error) {
	base, extension, _ := strings.Cut(strings.ToUpper(name), ".")
	if base == "" || len(base) > 8 || len(extension) > 3 || !plain(base+extension) {
		return short, fmt.Errorf("%q is not an 8.3 name of letters, digits, '_' and '-'", name)
	}
	return shortName(fmt.Sprintf("%-8s%s", base, extension)), nil
}

// labelName is a volume label as a directory entry has it.
func labelName(label string) (short [11]byte, err error) {
	if label == "" || len(label) > len(short) || !plain(label) {
		return short, fmt.Errorf("FAT volume label %q: want 1 to %d capital letters, digits, '_' and '-'",
			label, len(short))
	}
	return shortName(label), nil
}

// shortName pads s with spaces.
func shortName(s string) (short [11]byte) {
	copy(short[:], s+strings.Repeat(" ", len(short)))
	return short
}

// plain says whether s has only characters that no reader treats specially.
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !('A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '-')
	})
}
