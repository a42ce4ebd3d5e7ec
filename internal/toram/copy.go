package toram

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/memory"
)

// pageBytes is the unit in which memory file systems give out memory.
const pageBytes = 4096

// plan is what is copied.
type plan struct {
	names []string // of files, directories and links: a directory comes before what is in it
	bytes int64    // of memory that it takes at most
}

// measure lists what is needed.
func measure(root *os.Root, needed []string) (plan, error) {
	var p plan
	for _, name := range needed {
		err := fs.WalkDir(root.FS(), name, func(name string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			p.names = append(p.names, name)
			p.bytes += pageBytes // what the kernel has of it besides
			if info.Mode().IsRegular() {
				p.bytes += (info.Size() + pageBytes - 1) &^ (pageBytes - 1)
			}
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return plan{}, err
		}
	}
	return p, nil
}

// fill mounts a memory file system and copies what is planned to it.
func (m *Manager) fill(ctx context.Context, root *os.Root, p plan, files *memory.Files) error {
	if err := os.MkdirAll(m.Dir, 0o755); err != nil {
		return err
	}
	if err := m.Kernel.MountMemory(m.Dir, p.bytes+1<<20); err != nil {
		return err
	}
	to, err := os.OpenRoot(m.Dir)
	if err == nil {
		c := &copier{from: root, to: to, files: files, tell: m.progress(p.bytes), buffer: make([]byte, 1<<20),
			bySize: map[int64][]string{}}
		for _, name := range p.names {
			if err = c.copy(ctx, name); err != nil {
				break
			}
		}
		to.Close()
	}
	if err == nil {
		err = m.Kernel.Protect(m.Dir) // else guests would write to it itself, as to all that is in memory
	}
	if err != nil {
		return errors.Join(err, m.Kernel.Unmount(m.Dir))
	}
	return nil
}

// progressPause is the time between two words about how far the copy is.
const progressPause = 5 * time.Second

// progress returns what tells how far the copy is.
func (m *Manager) progress(total int64) func(done int64) {
	last := time.Now()
	return func(done int64) {
		if time.Since(last) < progressPause {
			return
		}
		last = time.Now()
		copying := m.Medium
		copying.State, copying.Done, copying.Total = host.MediumCopying, done, total
		m.Tell(copying)
	}
}

// copier copies files.
type copier struct {
	from, to *os.Root
	files    *memory.Files
	tell     func(done int64)
	done     int64 // bytes
	buffer   []byte
	bySize   map[int64][]string // files that were copied
}

// copy copies a file, a directory without what is in it, or a link.
func (c *copier) copy(ctx context.Context, name string) error {
	info, err := c.from.Lstat(name)
	if err != nil {
		return err
	}
	if err := c.to.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	switch {
	case info.IsDir():
		return c.to.MkdirAll(name, 0o755)
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := c.from.Readlink(name)
		if err != nil {
			return err
		}
		return c.to.Symlink(target, name)
	case info.Mode().IsRegular():
		if twin := c.twin(name, info.Size()); twin != "" {
			return c.to.Link(twin, name)
		}
		c.bySize[info.Size()] = append(c.bySize[info.Size()], name)
		return c.copyFile(ctx, name, info)
	}
	return nil // a guest cannot use anything else
}

// twin is a file that was copied and has the same content, "" for none: guests that boot the same have the same initrd.
// An error is one of the copy's, which comes next.
func (c *copier) twin(name string, size int64) string {
	for _, other := range c.bySize[size] {
		if size > 0 && c.isSame(name, other, size) {
			return other
		}
	}
	return ""
}

// isSame compares a file with a copy of the same size.
func (c *copier) isSame(name, other string, size int64) bool {
	file, err := c.from.Open(name)
	if err != nil {
		return false
	}
	defer file.Close()
	copied, err := c.to.Open(other)
	if err != nil {
		return false
	}
	defer copied.Close()
	a, b := c.buffer[:len(c.buffer)/2], c.buffer[len(c.buffer)/2:]
	for offset := int64(0); offset < size; {
		n, _ := file.ReadAt(a, offset)
		m, _ := copied.ReadAt(b[:n], offset)
		if n == 0 || m != n || !bytes.Equal(a[:n], b[:n]) {
			return false
		}
		_ = unix.Fadvise(int(file.Fd()), offset, int64(n), unix.FADV_DONTNEED)
		offset += int64(n)
	}
	return true
}

// copyFile copies a file. Of what is zero nothing is written, so that it takes no memory.
func (c *copier) copyFile(ctx context.Context, name string, info fs.FileInfo) error {
	from, err := c.from.Open(name)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := c.to.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	defer to.Close()
	if err := to.Truncate(info.Size()); err != nil {
		return err
	}
	for offset := int64(0); offset < info.Size(); {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := from.ReadAt(c.buffer, offset)
		if n == 0 && err != nil {
			return &fs.PathError{Op: "read", Path: filepath.Join(c.from.Name(), name), Err: noEOF(err)}
		}
		// What is copied is not read again: it need not stay in memory twice.
		_ = unix.Fadvise(int(from.Fd()), offset, int64(n), unix.FADV_DONTNEED)
		if err := c.write(to, c.buffer[:n], offset); err != nil {
			return err
		}
		offset += int64(n)
		c.done += int64(n)
		c.tell(c.done)
	}
	return nil
}

// noEOF is an error of a file that must not end yet.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// write writes those pages that are not zero.
func (c *copier) write(to *os.File, data []byte, offset int64) error {
	for start := 0; start < len(data); {
		end := start
		for end < len(data) && !isZero(data[end:min(end+pageBytes, len(data))]) {
			end += pageBytes
		}
		if end = min(end, len(data)); end > start {
			if _, err := to.WriteAt(data[start:end], offset+int64(start)); err != nil {
				return err
			}
			c.files.Wrote(int64(end-start+pageBytes-1) &^ (pageBytes - 1))
		}
		start = end + pageBytes // a page of zeros, or the end
	}
	return nil
}

func isZero(data []byte) bool {
	for _, b := range data {
		if b != 0 {
			return false
		}
	}
	return true
}
