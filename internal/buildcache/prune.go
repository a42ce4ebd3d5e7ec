package buildcache

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Prune removes the entries of a kind but for the keep that were used last, and what is left of entries that have
// no sums.
func (c *Cache) Prune(kind string, keep int) error {
	dir := c.Path(kind)
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	used := map[string]time.Time{} // by key; zero without sums
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			return err
		}
		key, isSums := strings.CutSuffix(f.Name(), sumsSuffix)
		if isSums {
			used[key] = info.ModTime()
		} else if _, ok := used[key]; !ok {
			used[key] = time.Time{}
		}
	}
	kept := 0
	for _, key := range byLastUse(used) {
		if !used[key].IsZero() && kept < keep {
			kept++
			continue
		}
		for _, name := range []string{key + sumsSuffix, key} {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// byLastUse lists the keys, what was used last first.
func byLastUse(used map[string]time.Time) []string {
	keys := make([]string, 0, len(used))
	for key := range used {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Or(used[b].Compare(used[a]), cmp.Compare(a, b)) })
	return keys
}
