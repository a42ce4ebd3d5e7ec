//go:build !linux

package output

import (
	"errors"
	"io"
	"os"
)

type disk struct{ *os.File }

func openDisk(string, bool) (*disk, error) {
	return nil, errors.New("mkiso writes to disks on Linux only; write a file, and that to the disk")
}

func (d *disk) write(int64, func(io.Writer) error) error { return errors.ErrUnsupported }

// isMountPoint is never true: renaming says so itself.
func isMountPoint(string) bool { return false }

// OnDisk says whether the device name is the disk of f, or a partition of it.
func (f File) OnDisk(string) bool { return false }
