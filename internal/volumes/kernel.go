package volumes

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/devmapper"
	"github.com/zerodisc/zerodisc/internal/loopdev"
	"github.com/zerodisc/zerodisc/internal/md"
)

const sector = 512

// disk is an open block device.
type disk interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// loop is a loop device, there until it is closed and nothing is made of it.
type loop interface {
	Name() string
	io.Closer
}

// kernel is what is asked of it; tests have their own.
type kernel interface {
	open(device string) (disk, error)
	hold(d disk, offset, size uint64) (loop, error)
	createTable(name, uuid string, targets []devmapper.Target) (device string, err error)
	loadTable(name string, targets []devmapper.Target) error
	removeTable(name string) error // errBusy
	startArray(name string, g md.Geometry, devices []string) (device string, err error)
	stopArray(device string) error // errBusy
	// leftTable and leftArray describe what there is of that name, as table and array describe what is wanted; device
	// is "" where there is nothing.
	leftTable(name string) (device, description string, err error)
	leftArray(name string) (device, description string, err error)
}

// errBusy says that a device is in use.
var errBusy = unix.EBUSY

// linux is the kernel.
type linux struct{}

type blockDevice struct {
	*os.File
	size int64
}

func (d blockDevice) Size() int64 { return d.size }

func (linux) open(device string) (disk, error) {
	file, err := os.OpenFile(device, os.O_RDONLY|unix.O_NONBLOCK, 0) // a drive without a disc would be waited for
	if err != nil {
		return nil, fmt.Errorf("open member: %w", err)
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("size of member: %w", err), file.Close())
	}
	return blockDevice{file, size}, nil
}

func (linux) hold(d disk, offset, size uint64) (loop, error) {
	return loopdev.OpenPart(d.(blockDevice).File, offset, size)
}

func (linux) createTable(name, uuid string, targets []devmapper.Target) (string, error) {
	return devmapper.Create(name, uuid, targets, true)
}

func (linux) loadTable(name string, targets []devmapper.Target) error {
	return devmapper.Replace(name, targets, true)
}

func (linux) removeTable(name string) error { return devmapper.RemoveIdle(name) }

func (linux) startArray(name string, g md.Geometry, devices []string) (string, error) {
	return md.Start(name, g, devices)
}

func (linux) stopArray(device string) error { return md.Stop(device) }
