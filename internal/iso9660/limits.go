package iso9660

import (
	"fmt"
	"strings"
)

// Limits of a disc, the same for writer and reader: what is written can be read again, and a damaged or
// hostile image cannot make its reader need more memory or time than its size explains. Discs that anyone
// makes are far below.
const (
	maxDescriptors = 64
	maxEntries     = 1 << 20 // directory records, without those of directories themselves and their parents
	maxDepth       = 128     // directories in one another, below the root
	maxPath        = 4000    // bytes: Linux opens paths of up to 4095, and the mount point comes before
	maxOverlap     = 16      // times the size of the image: all extents together, each counted once
)

// checkDepth holds a file's path to the limits.
func checkDepth(path string) error {
	if len(path) > maxPath {
		return fmt.Errorf("%.80q...: a path of %d bytes, at most %d can be read", path, len(path), maxPath)
	}
	if depth := strings.Count(path, "/"); depth > maxDepth {
		return fmt.Errorf("file %q: lies %d directories deep, at most %d can be read", path, depth, maxDepth)
	}
	return nil
}

// totals count what the files of an image have together.
type totals struct {
	entries int   // directory records
	paths   int64 // bytes of the files' paths
	extents map[Extent]bool
	bytes   int64 // of extents
}

// add counts a file with the given path and extents, and records directory records.
func (t *totals) add(path string, records int, extents ...Extent) {
	t.entries += records
	t.paths += int64(len(path))
	for _, e := range extents {
		if !t.extents[e] {
			t.extents[e] = true
			t.bytes += e.Size
		}
	}
}

// check holds the totals to an image of size bytes.
func (t *totals) check(size int64) error {
	switch {
	case t.entries > maxEntries:
		return fmt.Errorf("the disc has %d files and directories, at most %d can be read", t.entries, maxEntries)
	case t.paths > size: // no list of its files, such as that of their sums, would fit on it
		return fmt.Errorf("the paths of all files together have %d bytes, more than the disc", t.paths)
	case t.bytes/maxOverlap > size:
		return fmt.Errorf("the files lie in one another: together they have %d bytes, over %d times the disc's",
			t.bytes, maxOverlap)
	}
	return nil
}
