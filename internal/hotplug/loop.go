package hotplug

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/loopdev"
)

func (kernelDisks) Loops(file Medium) ([]Number, error) {
	// Only loop devices in use have the directory "loop".
	used, err := filepath.Glob("/sys/block/loop*/loop")
	if err != nil {
		return nil, err
	}
	var numbers []Number
	for _, dir := range used {
		device := filepath.Join("/dev", filepath.Base(filepath.Dir(dir)))
		n, same, err := backedBy(device, file)
		if err != nil {
			return nil, err
		}
		if same {
			numbers = append(numbers, n)
		}
	}
	return numbers, nil
}

// backedBy says whether a loop device is backed by file, and its number.
func backedBy(device string, file Medium) (Number, bool, error) {
	loop, err := os.Open(device)
	if err != nil {
		return Number{}, false, fmt.Errorf("loop device: %w", err)
	}
	defer loop.Close()
	info, err := unix.IoctlLoopGetStatus64(int(loop.Fd()))
	if errors.Is(err, unix.ENXIO) {
		return Number{}, false, nil // taken down meanwhile
	}
	if err != nil {
		return Number{}, false, fmt.Errorf("status of %s: %w", device, err)
	}
	if info.Device != file.Device || info.Inode != file.Inode {
		return Number{}, false, nil
	}
	m, err := kernelDisks{}.Identify(device)
	return m.Number, true, err
}

func (kernelDisks) Attach(path string, readOnly bool) (string, error) {
	return loopdev.Attach(path, readOnly)
}

func (kernelDisks) Detach(device string) error { return loopdev.Detach(device) }
