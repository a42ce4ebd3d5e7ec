// Package buildcache keeps on disk what a build has fetched or made, so that the next one need not. One
// build uses a cache at a time.
//
//	lock           held by the build that uses the cache (flock(2)); the kernel lets go of it when that build dies
//	tmp/           what that build is making; emptied by the next one
//	KIND/KEY       an entry: a file or a directory, which nobody changes
//	KIND/KEY.sums  what the entry consists of, with the SHA-256 of every file; written last
//
// An entry is used only when its files have the contents of its sums: it was then made to its end, all of it has
// reached the disk, and nothing has damaged it since. Everything else counts as not there. Size and date alone
// would not do: four changed bytes in an unpacked kernel made a disc that verified. Reading and summing up the
// 330 MB that a build uses takes 0.3 s on two cores.
//
// A key has everything that decides the contents: inputs, options, tools and, where our own code makes
// the entry, that code (see [Code]).
package buildcache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/zerodisc/zerodisc/internal/atomicfile"
)

// Cache is a cache that this build has for itself until Close.
type Cache struct {
	dir  string
	lock *os.File
	say  func(string)
}

const (
	lockName = "lock"
	tmpName  = "tmp"
)

// lockPoll is how often a build that waits for another one looks again.
const lockPoll = 200 * time.Millisecond

// Open creates the directory dir where it is missing, waits until no other build uses it, and clears away what one
// that was killed left half done. say, which may be nil, tells the person who waits why, and which
// entries are damaged.
func Open(ctx context.Context, dir string, say func(string)) (*Cache, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	if say == nil {
		say = func(string) {}
	}
	c := &Cache{dir: dir, say: say}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create cache: %w", err)
	}
	if c.lock, err = os.OpenFile(c.Path(lockName), os.O_CREATE|os.O_RDWR, 0o644); err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	if err := c.waitLock(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("lock cache %s: %w", dir, err), c.lock.Close())
	}
	if err := c.emptyTmp(); err != nil {
		return nil, errors.Join(fmt.Errorf("open cache: %w", err), c.lock.Close())
	}
	return c, nil
}

func (c *Cache) waitLock(ctx context.Context) error {
	for told := false; ; told = true {
		err := syscall.Flock(int(c.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		if !told {
			c.say("waiting for another build that uses the cache " + c.dir)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lockPoll):
		}
	}
}

func (c *Cache) emptyTmp() error {
	if err := os.RemoveAll(c.Path(tmpName)); err != nil {
		return err
	}
	return os.Mkdir(c.Path(tmpName), 0o755)
}

// Close removes the temporary directories and lets the next build have the cache.
func (c *Cache) Close() error { return errors.Join(c.emptyTmp(), c.lock.Close()) }

// Path is a path inside the cache.
func (c *Cache) Path(elem ...string) string {
	return filepath.Join(append([]string{c.dir}, elem...)...)
}

// Temp makes a directory for this build alone, on the file system of the cache. It goes with Close.
func (c *Cache) Temp(name string) (string, error) {
	dir, err := os.MkdirTemp(c.Path(tmpName), name+"-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755) // whatever the umask
}

// Entry returns the path of the entry key of a kind, and makes it where it is not there. create makes
// the file or the directory path.
func (c *Cache) Entry(kind, key string, create func(path string) error) (string, error) {
	if c.Has(kind, key) {
		return c.Path(kind, key), nil
	}
	return c.Make(kind, key, create)
}

// Has reports whether the entry is there, with the contents that it was made with, and notes that it is in use.
func (c *Cache) Has(kind, key string) bool {
	name := c.Path(kind, key)
	want, err := os.ReadFile(name + sumsSuffix)
	if err != nil {
		return false
	}
	got, err := Sums(name)
	if err == nil && string(got) != string(want) {
		err = errors.New("it is not as it was made")
	}
	if err != nil {
		c.say(fmt.Sprintf("making anew what is damaged in the cache: %s: %v", name, err))
		return false
	}
	now := time.Now()
	return os.Chtimes(name+sumsSuffix, now, now) == nil
}

// Make makes the entry, in place of what is there under its name, and returns its path.
func (c *Cache) Make(kind, key string, create func(path string) error) (string, error) {
	work, err := c.Temp(filepath.Base(key))
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	made := filepath.Join(work, "made")
	if err := create(made); err != nil {
		return "", err
	}
	name := c.Path(kind, key)
	if err := c.commit(made, name); err != nil {
		return "", fmt.Errorf("keep %s: %w", name, err)
	}
	return name, nil
}

// commit gives what was made its name. The sums come last: without them there is no entry. Only they are synced:
// what of the entry itself has not reached the disk when the power fails, they will not fit.
func (c *Cache) commit(made, name string) error {
	sums, err := Sums(made)
	if err != nil {
		return err
	}
	for _, old := range []string{name + sumsSuffix, name} {
		if err := os.RemoveAll(old); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := os.Rename(made, name); err != nil {
		return err
	}
	return atomicfile.Write(name+sumsSuffix, func(f *os.File) error {
		_, err := f.Write(sums)
		return errors.Join(err, f.Sync())
	})
}

// Key is a name for what depends on the parts.
func Key(parts ...string) string {
	sum := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(sum, "%d %s\n", len(part), part)
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// Code names the program that is running, by its contents: a part of the keys of what the program's own code makes.
// It is coarse, as any change of the program counts, but it forgets nothing: no package that the
// code calls, no release of the compiler.
func Code() (string, error) { return code() }

var code = sync.OnceValues(func() (string, error) {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return "", fmt.Errorf("read the running program: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("read the running program: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
})
