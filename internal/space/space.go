// Package space notices that file systems in memory are full. What writes to one then fails, and few programs say so.
package space

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/tick"
)

// Usage is how much room a file system has. Files are 0 where their number has no limit.
type Usage struct {
	Bytes, Free      int64
	Files, FreeFiles uint64
}

// A file system is full when less than this part of it is free, and full no longer when twice that is.
const (
	leastPart  = 32
	enoughPart = leastPart / 2
)

// full says whether a file system is full, which was so before. One without a size has no limit.
func (u Usage) full(before bool) bool {
	part := int64(leastPart)
	if before {
		part = enoughPart
	}
	return u.Bytes > 0 && u.Free < u.Bytes/part || u.Files > 0 && u.FreeFiles < u.Files/uint64(part)
}

// Watcher looks at file systems.
type Watcher struct {
	Dirs  []string
	Every time.Duration
	// Tell is called when one is full, and when it has room again.
	Tell func(dir string, full bool, u Usage)
	// Look asks for the usage; Statfs, outside tests.
	Look func(dir string) (Usage, error)

	full map[string]bool
}

// Run looks until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	for {
		w.once()
		select {
		case <-tick.After(w.Every):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// once looks at all of them. One that cannot be asked is as it was.
func (w *Watcher) once() {
	if w.full == nil {
		w.full = map[string]bool{}
	}
	for _, dir := range w.Dirs {
		u, err := w.Look(dir)
		if err != nil {
			continue
		}
		if now := u.full(w.full[dir]); now != w.full[dir] {
			w.full[dir] = now
			w.Tell(dir, now, u)
		}
	}
}

// Statfs asks the kernel.
func Statfs(dir string) (Usage, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return Usage{}, err
	}
	return Usage{
		Bytes: int64(s.Blocks) * s.Bsize, Free: int64(s.Bavail) * s.Bsize, Files: s.Files, FreeFiles: s.Ffree,
	}, nil
}
