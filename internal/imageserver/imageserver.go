// Package imageserver serves disk images as block devices, for reading only: those parts of them that dom0's
// kernel cannot read by itself. Each image has a process of its own, a service, which nobody misses for long: when it
// dies it is started again, and whoever reads from the device waits meanwhile.
package imageserver

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"

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

// Main is the process: "imageserver TARGET FORMAT FILE". It writes its device's number and its own to FILE once the
// device can be used. Where FILE has a number it goes on with that device, whose process has ended. It ends by SIGTERM,
// and leaves the device to whoever comes after it: those who read from it wait.
func Main(args []string, stderr io.Writer) int {
	if err := run(args); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", Role, err)
		return 1
	}
	return 0
}

func run(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("usage: %s TARGET FORMAT FILE", Role)
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, unix.SIGTERM)
	image, err := Open(args[0], args[1])
	if err != nil {
		return err
	}
	defer image.Close()
	device, err := serve(image, args[2])
	if err != nil {
		return err
	}
	// From here on it reads from its image, and talks to the driver: nothing that an image makes of it can do more.
	if err := confine.Seal(unix.SYS_IO_URING_ENTER); err != nil {
		return err
	}
	select {
	case <-end:
		return nil
	case err := <-device.Ended():
		return fmt.Errorf("the device has ended: %w", err)
	}
}

// serve makes the device, or goes on with the one in the file.
func serve(image *diskimage.Image, file string) (*ublk.Device, error) {
	config := ublk.Config{Bytes: image.Size() / 512 * 512, ReadOnly: true, Block: blockBytes}
	var device *ublk.Device
	number, _, err := readDevice(file)
	switch {
	case err == nil:
		device, err = ublk.Recover(number, config, disk{image})
	case errors.Is(err, fs.ErrNotExist):
		device, err = ublk.Serve(config, disk{image})
	}
	if err != nil {
		return nil, err
	}
	return device, writeDevice(file, device.ID())
}

// readDevice reads the number of a device, and that of the process that serves it or has served it last.
func readDevice(file string) (number, pid int, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, 0, err
	}
	if _, err := fmt.Sscanf(string(text), "%d %d\n", &number, &pid); err != nil || number < 0 || pid <= 1 {
		return 0, 0, fmt.Errorf("%s has no device and process: %q", file, text)
	}
	return number, pid, nil
}

// writeDevice writes the number of a device and this process's: the file is never without a number that it has had.
func writeDevice(file string, number int) error {
	text := fmt.Sprintf("%d %d\n", number, os.Getpid())
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
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
