// Package hypercall asks the hypervisor without a process: by sysctl hypercalls (xen/include/public/sysctl.h) through
// /dev/xen/privcmd.
package hypercall

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	sysctlHypercall = 35      // __HYPERVISOR_sysctl
	sysctlSize      = 8 + 128 // of struct xen_sysctl, bytes

	// privcmdHypercall is IOCTL_PRIVCMD_HYPERCALL (Linux, include/uapi/xen/privcmd.h).
	privcmdHypercall = 48<<16 | 'P'<<8
)

// privcmd is struct privcmd_hypercall.
type privcmd struct {
	op        uint64
	arguments [5]uint64
}

// Caller makes hypercalls, for one goroutine at a time.
type Caller struct {
	device *os.File
	memory []byte // pages that stay where they are: the request, and the buffer from the second page on
}

// Open returns a Caller with a buffer of so many bytes for what Xen answers. Without Xen there is none.
func Open(buffer int) (*Caller, error) {
	device, err := os.OpenFile("/dev/xen/privcmd", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	memory, err := lockedMemory(os.Getpagesize() + buffer)
	if err != nil {
		return nil, errors.Join(err, device.Close())
	}
	return &Caller{device: device, memory: memory}, nil
}

// lockedMemory is memory that the kernel does not move while Xen writes to it.
func lockedMemory(size int) ([]byte, error) {
	file, err := os.OpenFile("/dev/xen/hypercall", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	memory, err := unix.Mmap(int(file.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map memory for hypercalls: %w", err)
	}
	return memory, nil
}

// Close gives back what Open took.
func (c *Caller) Close() error { return errors.Join(unix.Munmap(c.memory), c.device.Close()) }

// Request is struct xen_sysctl: the caller writes it, and reads the answer in it.
func (c *Caller) Request() []byte { return c.memory[:sysctlSize] }

// Buffer is for what does not fit into the request.
func (c *Caller) Buffer() []byte { return c.memory[os.Getpagesize():] }

// BufferAddress is what a request says for the buffer.
func (c *Caller) BufferAddress() uint64 { return uint64(uintptr(unsafe.Pointer(&c.Buffer()[0]))) }

// Sysctl makes the hypercall. Xen's answer to a version of the interface that is not its own is EACCES.
func (c *Caller) Sysctl() error {
	call := privcmd{op: sysctlHypercall}
	call.arguments[0] = uint64(uintptr(unsafe.Pointer(&c.memory[0])))
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, c.device.Fd(), privcmdHypercall, uintptr(unsafe.Pointer(&call)))
	runtime.KeepAlive(c)
	if errno != 0 {
		return errno
	}
	return nil
}
