// Package imageserver serves disk images as block devices, for reading only: those parts of them that dom0's
// kernel cannot read by itself. Each image has a process of its own, which nobody misses for long: when it dies it is
// started again, and whoever reads from the device waits meanwhile.
package imageserver

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/confine"
	"github.com/zerodisc/zerodisc/internal/diskimage"
	"github.com/zerodisc/zerodisc/internal/ublk"
)

// Role is the name by which the program of the process is called.
const Role = "imageserver"

// blockBytes is the size in which images are best read.
const blockBytes = 4096

// Open opens an image file.
func Open(target, format string) (*diskimage.Image, error) {
	root, err := os.OpenRoot(filepath.Dir(target))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return diskimage.Open(root, filepath.Base(target), format)
}

// Main is the process: "imageserver TARGET FORMAT [NUMBER]". It writes the number of the device to standard output once
// it can be used. With a number it goes on with a device whose process has died. It ends by SIGTERM, and the device
// with it.
func Main(args []string, stdout, stderr io.Writer) int {
	if err := run(args, stdout); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", Role, err)
		return 1
	}
	return 0
}

func run(args []string, stdout io.Writer) error {
	if len(args) != 2 && len(args) != 3 {
		return fmt.Errorf("usage: %s TARGET FORMAT [NUMBER]", Role)
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, unix.SIGTERM)
	image, err := Open(args[0], args[1])
	if err != nil {
		return err
	}
	defer image.Close()
	device, err := serve(image, args[2:])
	if err != nil {
		return err
	}
	// From here on it reads from its image, and talks to the driver: nothing that an image makes of it can do more.
	if err := confine.Seal(unix.SYS_IO_URING_ENTER); err != nil {
		return errors.Join(err, device.Close())
	}
	fmt.Fprintln(stdout, device.ID())
	select {
	case <-end:
		return device.Close()
	case err := <-device.Ended():
		return fmt.Errorf("the device has ended: %w", err)
	}
}

// serve makes the device, or goes on with that of the number in args.
func serve(image *diskimage.Image, args []string) (*ublk.Device, error) {
	config := ublk.Config{Bytes: image.Size() / 512 * 512, ReadOnly: true, Block: blockBytes}
	if len(args) == 0 {
		return ublk.Serve(config, disk{image})
	}
	number, err := strconv.Atoi(args[0])
	if err != nil {
		return nil, fmt.Errorf("number of the device: %w", err)
	}
	return ublk.Recover(number, config, disk{image})
}

// disk is an image as a ublk.Disk.
type disk struct{ *diskimage.Image }

func (disk) WriteAt([]byte, int64) (int, error) { return 0, unix.EROFS }

func (disk) Zero(int64, int64) error { return unix.EROFS }

// ReadAt reads the image. What the end of the last sector lacks is zeros.
func (d disk) ReadAt(p []byte, offset int64) (int, error) {
	n, err := d.Image.ReadAt(p, offset)
	if errors.Is(err, io.EOF) {
		clear(p[n:])
		return len(p), nil
	}
	return n, err
}
