package hotplug

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/loopdev"
)

func (kernelDisks) Loops() ([]Loop, error) {
	// Only loop devices in use have the directory "loop".
	used, err := filepath.Glob("/sys/block/loop*/loop")
	if err != nil {
		return nil, err
	}
	var loops []Loop
	for _, dir := range used {
		loop, err := readLoop(filepath.Join("/dev", filepath.Base(filepath.Dir(dir))))
		if loopdev.Gone(err) {
			continue // taken down meanwhile, or in this moment
		}
		if err != nil {
			return nil, err
		}
		loops = append(loops, loop)
	}
	return loops, nil
}

// readLoop asks a loop device what backs it. loopdev.Gone accepts the error of one that is not in use.
func readLoop(device string) (Loop, error) {
	file, err := os.Open(device)
	if err != nil {
		return Loop{}, fmt.Errorf("loop device: %w", err)
	}
	defer file.Close()
	info, err := unix.IoctlLoopGetStatus64(int(file.Fd()))
	if err != nil {
		return Loop{}, fmt.Errorf("status of %s: %w", device, err)
	}
	m, err := kernelDisks{}.Identify(device)
	if err != nil {
		return Loop{}, err
	}
	// A block device is the only backing that has a number of its own (stat(2), st_rdev).
	backing := Medium{Device: info.Device, Inode: info.Inode, Block: info.Rdevice != 0, Number: numberOf(info.Rdevice)}
	return Loop{Number: m.Number, Backing: backing}, nil
}

func (kernelDisks) Attach(path string, readOnly bool) (string, error) {
	return loopdev.Attach(path, readOnly)
}

func (kernelDisks) Detach(device string) error { return loopdev.Detach(device) }
