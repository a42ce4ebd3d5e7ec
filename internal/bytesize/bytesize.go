// Package bytesize writes numbers of bytes for people, and reads theirs.
package bytesize

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// units are decimal, as disks are sold and as dd prints them; the last one takes the rest.
var units = []struct {
	bytes float64
	name  string
}{{1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}}

// Text writes n bytes in the largest unit of which there is at least one, with one decimal: "39.3 MB".
// Less than 1 kB is a fraction of one: "0.2 kB".
func Text(n int64) string {
	unit := units[len(units)-1]
	for _, u := range units {
		if float64(n) >= u.bytes {
			unit = u
			break
		}
	}
	return fmt.Sprintf("%.1f %s", float64(n)/unit.bytes, unit.name)
}

// Parse reads a size as Xen and the kernel take it: a number, with the letter K, M, G or T for so many KiB, MiB, GiB or
// TiB.
func Parse(text string) (int64, error) {
	errSize := errors.New("want a size such as 256M or 1G")
	if text == "" {
		return 0, errSize
	}
	shift := 10 * (1 + strings.IndexByte("KMGT", text[len(text)-1]&^0x20))
	if shift > 0 {
		text = text[:len(text)-1]
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64>>(shift+1) {
		return 0, errSize
	}
	return n << shift, nil
}
