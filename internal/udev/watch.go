package udev

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// Watch has a disk reported as changed when somebody closes it who could write to it: what it holds may be another
// file system now. The kernel itself tells of nothing but a new partition table.
type Watch struct {
	file *os.File
	sys  string // /sys
	dev  string // /dev

	mu      sync.Mutex
	devices map[int32]string // by watch: path in sysfs
	watches map[string]int32
}

// NewWatch begins to watch; what is reported is written into sysfs below sys.
func NewWatch(sys, dev string) (*Watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch disks: %w", err)
	}
	w := &Watch{
		file: os.NewFile(uintptr(fd), "inotify"), sys: sys, dev: dev,
		devices: map[int32]string{}, watches: map[string]int32{},
	}
	go w.run()
	return w, nil
}

// add watches the node of a device. That it cannot be watched, because it has gone, is no error.
func (w *Watch) add(device, node string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.watches[device]; ok {
		return
	}
	raw, err := w.file.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		wd, err := unix.InotifyAddWatch(int(fd), filepath.Join(w.dev, node), unix.IN_CLOSE_WRITE)
		if err == nil {
			w.devices[int32(wd)], w.watches[device] = device, int32(wd)
		}
	})
}

// remove forgets a device that has gone; the kernel has ended its watch with the node.
func (w *Watch) remove(device string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if wd, ok := w.watches[device]; ok {
		delete(w.devices, wd)
		delete(w.watches, device)
	}
}

// run reports what is closed, for as long as the program runs.
func (w *Watch) run() {
	buffer := make([]byte, 4096)
	for {
		n, err := w.file.Read(buffer)
		if err != nil {
			return
		}
		for _, wd := range closed(buffer[:n]) {
			w.mu.Lock()
			device, ok := w.devices[wd]
			w.mu.Unlock()
			if ok {
				_ = os.WriteFile(filepath.Join(w.sys, device, "uevent"), []byte("change"), 0)
			}
		}
	}
}

// closed takes the watches from the events of inotify(7) whose file was closed.
func closed(events []byte) (watches []int32) {
	for len(events) >= unix.SizeofInotifyEvent {
		wd, mask := int32(binary.NativeEndian.Uint32(events)), binary.NativeEndian.Uint32(events[4:])
		size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(events[12:]))
		if size > len(events) {
			break
		}
		if mask&unix.IN_CLOSE_WRITE != 0 {
			watches = append(watches, wd)
		}
		events = events[size:]
	}
	return watches
}
