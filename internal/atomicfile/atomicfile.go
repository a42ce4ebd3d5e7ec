// Package atomicfile writes files that are there as a whole or not at all.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Write makes the file name, and the directories that lead to it, of what write gives: under a
// temporary name next to it, on the disk before it gets its own name, so that not even a power cut leaves a
// part of it. An error, write's own among them, leaves nothing behind, and an older file as it was. A
// symbolic link is followed and stays. What is there and is no regular file (a directory, a device, a
// pipe) is an error: renaming would put a file in its place.
func Write(name string, write func(*os.File) error) (err error) {
	target, info, err := Follow(name)
	if err != nil {
		return err
	}
	if err := Replaceable(info); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return os.Rename(f.Name(), target)
}

// WriteBytes is Write for what is in memory.
func WriteBytes(name string, data []byte) error {
	return Write(name, func(f *os.File) error {
		_, err := f.Write(data)
		return err
	})
}

// maxLinks is how many symbolic links the kernel follows in one path (MAXSYMLINKS of Linux).
const maxLinks = 40

// Follow follows the symbolic links that name is, to the place where a program that opens it for
// writing makes or finds its file, and says what is there; nil for nothing.
func Follow(name string) (string, fs.FileInfo, error) {
	there, statErr := os.Stat(name)
	at := name
	for range maxLinks {
		info, err := os.Lstat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist) && statErr == nil:
			return name, there, nil // a link of /proc's, which leads to what has no path
		case errors.Is(err, fs.ErrNotExist):
			return at, nil, nil
		case err != nil:
			return "", nil, err
		case info.Mode()&fs.ModeSymlink == 0:
			return at, info, nil
		}
		if at, err = followOne(at); err != nil {
			return "", nil, err
		}
	}
	return "", nil, fmt.Errorf("%s: more than %d symbolic links lead from one to the next", name, maxLinks)
}

// followOne returns the path that the symbolic link name holds.
func followOne(name string) (string, error) {
	target, err := os.Readlink(name)
	if err != nil || filepath.IsAbs(target) {
		return target, err
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(name)) // ".." is seen from the directory itself
	return filepath.Join(dir, target), err
}

// notFiles are the names of what is no regular file.
var notFiles = []struct {
	mode fs.FileMode
	name string
}{
	{fs.ModeDir, "a directory"}, {fs.ModeCharDevice, "a character device"}, {fs.ModeDevice, "a block device"},
	{fs.ModeNamedPipe, "a pipe"}, {fs.ModeSocket, "a socket"},
}

// Replaceable refuses what a file that is renamed to its place would wipe out. info is Follow's; nil,
// nothing there, is fine.
func Replaceable(info fs.FileInfo) error {
	if info == nil || info.Mode().IsRegular() {
		return nil
	}
	for _, kind := range notFiles {
		if info.Mode()&kind.mode != 0 {
			return fmt.Errorf("it is %s; name a file", kind.name)
		}
	}
	return errors.New("it is no regular file; name a file")
}
