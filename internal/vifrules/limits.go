package vifrules

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
)

// Sizes of dom0's tables.
const (
	// memoryPerConnection is dom0's memory for each connection that may be known. One takes about 400 bytes, so that all
	// take a twentieth. In 192 MiB there is room for 61 guests with [maxConnections] each. Linux' own figure is 1536
	// connections there (nf_conntrack_core.c), which two guests could fill.
	memoryPerConnection = 8 << 10
	minConnections      = 8 << 10
	maxAllConnections   = 256 << 10

	// Neighbours that may be known. From the second number on those go that were not used for 5 s, and none comes beyond
	// the third (arp(7)). In 5 s 50 guests can bring 5000 by what askRate lets through.
	neighboursKept, neighboursSoft, neighboursHard = 1024, 4096, 8192
)

// setting is a number that the kernel is told.
type setting struct {
	path  string
	value int64
}

// limitsFor are the sizes for a dom0 with so much memory, bytes.
func limitsFor(memory int64) []setting {
	connections := min(max(memory/memoryPerConnection, minConnections), maxAllConnections)
	list := []setting{
		{"net/netfilter/nf_conntrack_buckets", connections / 4},
		{"net/netfilter/nf_conntrack_max", connections},
	}
	for _, family := range []string{"ipv4", "ipv6"} {
		for i, value := range []int64{neighboursKept, neighboursSoft, neighboursHard} {
			list = append(list, setting{fmt.Sprintf("net/%s/neigh/default/gc_thresh%d", family, i+1), value})
		}
	}
	return list
}

// Limits gives dom0's tables of connections and neighbours sizes that its memory (bytes) has room for, and that guests
// cannot fill with what the rules let through.
func Limits(memory int64) error {
	var errs []error
	for _, s := range limitsFor(memory) {
		err := os.WriteFile("/proc/sys/"+s.path, []byte(strconv.FormatInt(s.value, 10)), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // IPv6 may be off
			errs = append(errs, fmt.Errorf("size of dom0's tables: %w", err))
		}
	}
	return errors.Join(errs...)
}
