// Package output writes what a person asked for to the places that were named: files, disks and directories of
// files. It checks a place before the work begins, and replaces nothing but what was to be replaced:
// a link is followed and stays, a disk is overwritten only when that was asked for, and a directory gives way only
// if every file in it is one that this package wrote there.
package output

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/zerodisc/zerodisc/internal/atomicfile"
)

// EraseFlag is the flag by which a person allows a disk to be overwritten.
const EraseFlag = "-erase"

// File is a place for one file.
type File struct {
	Flag  string // by which it was named, for errors: "-o"
	Name  string
	Image bool // a whole disk (a block device) may take its place: what is written is a disk image
	Erase bool // overwrite that disk
}

// Check says whether the file can be written, and writes nothing.
func (f File) Check() error {
	real, onDisk, err := f.place()
	if err != nil {
		return f.wrap(err)
	}
	if !onDisk {
		return f.wrap(writable(filepath.Dir(real)))
	}
	d, err := openDisk(real, f.Erase)
	if err != nil {
		return f.wrap(err)
	}
	return f.wrap(d.Close())
}

// Write writes the size bytes that write gives. A file appears when it is complete, under its name; an
// error leaves an older one as it was. A disk is written in place, and what an error leaves on it is of no use.
func (f File) Write(size int64, write func(io.Writer) error) error {
	real, onDisk, err := f.place()
	if err != nil {
		return f.wrap(err)
	}
	if !onDisk {
		return atomicfile.Write(real, func(to *os.File) error { return write(to) })
	}
	d, err := openDisk(real, f.Erase)
	if err != nil {
		return f.wrap(err)
	}
	return f.wrap(d.write(size, write))
}

// IsDisk says whether the file's place is a disk.
func (f File) IsDisk() bool {
	_, onDisk, err := f.place()
	return err == nil && onDisk
}

func (f File) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", f.Flag, f.Name, err)
}

// place is where the links lead to, and whether that is a disk. What is neither a disk nor a file is an
// error.
func (f File) place() (real string, onDisk bool, err error) {
	if f.Name == "" {
		return "", false, errors.New("the name is empty; name a file")
	}
	real, info, err := atomicfile.Follow(f.Name)
	if err != nil {
		return "", false, err
	}
	if f.Image && info != nil && isBlockDevice(info) {
		return real, true, nil
	}
	return real, false, atomicfile.Replaceable(info)
}

func isBlockDevice(info fs.FileInfo) bool {
	return info.Mode()&fs.ModeDevice != 0 && info.Mode()&fs.ModeCharDevice == 0
}

// writable says whether a directory, or the one that it would be made in, can get a new file: it makes one
// and removes it again.
func writable(dir string) error {
	for {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			return fmt.Errorf("%s is a file, not a directory", dir)
		}
		if err == nil {
			break
		}
		if parent := filepath.Dir(dir); errors.Is(err, fs.ErrNotExist) && parent != dir {
			dir = parent
			continue
		}
		return err
	}
	probe, err := os.CreateTemp(dir, ".mkiso.*")
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}
