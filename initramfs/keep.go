package initramfs

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// keep is how many of the latest intermediate results of a kind stay for later builds.
const keep = 12

// kept reports whether an intermediate file or directory is there from an earlier build, and notes that it
// is in use.
func kept(name string) (bool, error) {
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	now := time.Now()
	return true, os.Chtimes(name, now, now)
}

// prune removes the results that match the pattern but for those used last.
func prune(pattern string) error {
	names, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	used := map[string]time.Time{}
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		used[name] = info.ModTime()
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(used[b].Compare(used[a]), cmp.Compare(a, b)) })
	for _, name := range names[min(keep, len(names)):] {
		if err := os.RemoveAll(name); err != nil {
			return err
		}
	}
	return nil
}
