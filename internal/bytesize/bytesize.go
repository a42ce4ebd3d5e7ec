// Package bytesize writes numbers of bytes for people.
package bytesize

import "fmt"

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
