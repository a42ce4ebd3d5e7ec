// Package sysfs reads sysfs(5). Package os takes nine system calls to read an attribute, most of which concern waiting
// for files that sysfs has not; a boot reads hundreds, and in a dom0 each call goes through Xen.
package sysfs

import (
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// FS is the tree of sysfs below a directory: /sys.
type FS string

// attributeSize is the size of an attribute that is text: a page at most.
const attributeSize = 4096

// maxSize bounds attributes that are not text: tables of firmware, descriptors of devices.
const maxSize = 1 << 20

func (f FS) path(op, name string) (string, error) {
	if !fs.ValidPath(name) {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	return filepath.Join(string(f), name), nil
}

// ReadFile reads an attribute in three system calls.
func (f FS) ReadFile(name string) ([]byte, error) {
	at, err := f.path("open", name)
	if err != nil {
		return nil, err
	}
	fd, err := open(at)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	data := make([]byte, attributeSize)
	for n := 0; ; {
		got, err := unix.Read(fd, data[n:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, &fs.PathError{Op: "read", Path: name, Err: err}
		}
		n += got
		if got == 0 || n < len(data) || n >= maxSize { // a part of what there is room for: that was all
			return data[:n], nil
		}
		data = append(data, make([]byte, len(data))...)
	}
}

func open(name string) (int, error) {
	for {
		fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// Open opens a file or directory.
func (f FS) Open(name string) (fs.File, error) { return os.DirFS(string(f)).Open(name) }

// ReadDir lists a directory, sorted.
func (f FS) ReadDir(name string) ([]fs.DirEntry, error) {
	at, err := f.path("readdir", name)
	if err != nil {
		return nil, err
	}
	return os.ReadDir(at)
}

// ReadLink returns what a symbolic link leads to.
func (f FS) ReadLink(name string) (string, error) {
	at, err := f.path("readlink", name)
	if err != nil {
		return "", err
	}
	return os.Readlink(at)
}

// Lstat describes a file and does not follow links.
func (f FS) Lstat(name string) (fs.FileInfo, error) {
	at, err := f.path("lstat", name)
	if err != nil {
		return nil, err
	}
	return os.Lstat(at)
}

// Stat describes a file.
func (f FS) Stat(name string) (fs.FileInfo, error) {
	at, err := f.path("stat", name)
	if err != nil {
		return nil, err
	}
	return os.Stat(at)
}
