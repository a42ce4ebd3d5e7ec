package payload

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// lockPoll is how often a build that waits for another one's cache looks again.
const lockPoll = 200 * time.Millisecond

// lockCache waits until no other process uses the cache, and clears away what one that was
// killed has left half-done.
func lockCache(ctx context.Context, opts Options) (unlock func(), err error) {
	f, err := os.OpenFile(opts.path("lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := waitLock(ctx, opts, f); err != nil {
		f.Close()
		return nil, err
	}
	if err := removeAllIn(opts.path("tmp")); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

func waitLock(ctx context.Context, opts Options, f *os.File) error {
	for told := false; ; told = true {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		if !told {
			opts.Log.Info("waiting for another build that uses the cache", "cache", opts.CacheDir)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lockPoll):
		}
	}
}

func removeAllIn(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// pruneAge is how long what nobody uses stays in the cache. A kernel update alone
// adds 400 MB.
const pruneAge = 30 * 24 * time.Hour

// prune removes resolutions that were not renewed for pruneAge, and packages and merged trees of
// that age which no resolution names.
func prune(opts Options) error {
	if err := pruneDir(opts.path("resolutions"), nil); err != nil {
		return err
	}
	keep, err := namedByResolutions(opts)
	if err != nil {
		return err
	}
	for _, dir := range []string{"debs", "unpacked", "merged"} {
		if err := pruneDir(opts.path(dir), keep); err != nil {
			return err
		}
	}
	return nil
}

// namedByResolutions are the SHA-256 of all packages and the keys of all merged trees in use.
func namedByResolutions(opts Options) (map[string]bool, error) {
	files, err := filepath.Glob(opts.path("resolutions", "*.json"))
	if err != nil {
		return nil, err
	}
	keep := map[string]bool{}
	for _, file := range files {
		saved, err := loadSaved(file)
		if err != nil {
			continue // damaged: the build that needs it writes it again
		}
		keep[saved.key()] = true
		for _, p := range saved.Packages {
			keep[p.SHA256] = true
		}
	}
	return keep, nil
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
