package payload

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

// pruneAge is how long what nobody uses stays in the cache. A kernel update alone
// adds 400 MB.
const pruneAge = 30 * 24 * time.Hour

// prune removes resolutions that were not renewed for pruneAge, and packages of that age which no resolution names.
func prune(opts Options) error {
	if err := pruneDir(opts.path("resolutions"), nil); err != nil {
		return err
	}
	keep, err := namedByResolutions(opts)
	if err != nil {
		return err
	}
	for _, dir := range []string{"debs", "unpacked"} {
		if err := pruneDir(opts.path(dir), keep); err != nil {
			return err
		}
	}
	return nil
}

// namedByResolutions are the SHA-256 of all packages in use.
func namedByResolutions(opts Options) (map[string]bool, error) {
	entries, err := os.ReadDir(opts.path("resolutions"))
	if err != nil {
		return nil, err
	}
	keep := map[string]bool{}
	for _, e := range entries {
		res, err := readKept(opts.path("resolutions", e.Name()))
		if err != nil {
			continue // damaged: the build that needs it writes it again
		}
		for _, p := range res.Packages {
			keep[p.SHA256] = true
		}
	}
	return keep, nil
}

// readKept reads a resolution of the cache: one of apt's, or that of a lock file.
func readKept(file string) (*Resolution, error) {
	switch filepath.Ext(file) {
	case savedExt:
		s, err := loadSaved(file)
		if err != nil {
			return nil, err
		}
		return s.resolution()
	case lockExt:
		return ReadLock(file)
	}
	return &Resolution{}, nil // the sums of one
}

// pruneDir removes the old entries of a directory whose name without extension is not kept.
func pruneDir(dir string, keep map[string]bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, _, _ := strings.Cut(e.Name(), ".")
		info, err := e.Info()
		if err != nil {
			return err
		}
		if keep[name] || time.Since(info.ModTime()) < pruneAge {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
