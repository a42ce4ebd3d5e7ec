package vifrules

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
)

// Neighbours that dom0 may know, in each family. From the second number on those go that were not used for 5 s, and
// none comes beyond the third (arp(7)). In 5 s 50 guests can bring 5000 by what askRate lets through. An entry takes
// half a kilobyte.
var neighbours = [3]int{1024, 4096, 8192}

// EnlargeNeighbours gives dom0's tables of neighbours sizes that guests cannot fill with what the rules let through.
func EnlargeNeighbours() error {
	var errs []error
	for _, family := range []string{"ipv4", "ipv6"} {
		for i, n := range neighbours {
			name := fmt.Sprintf("/proc/sys/net/%s/neigh/default/gc_thresh%d", family, i+1)
			err := os.WriteFile(name, []byte(strconv.Itoa(n)), 0)
			if err != nil && !errors.Is(err, fs.ErrNotExist) { // IPv6 may be off
				errs = append(errs, fmt.Errorf("size of dom0's table of neighbours: %w", err))
			}
		}
	}
	return errors.Join(errs...)
}
