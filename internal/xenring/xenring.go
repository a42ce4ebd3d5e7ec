// Package xenring reads what the hypervisor says, its console ring, as `xl dmesg` does, but only what is new and
// without a process: by the sysctl hypercall readconsole (xen/include/public/sysctl.h) through /dev/xen/privcmd.
package xenring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	sysctlHypercall = 35 // __HYPERVISOR_sysctl
	readConsole     = 1  // XEN_SYSCTL_readconsole

	// Versions of the sysctl interface: Xen takes one of them, and what is used here is the same in all. Xen 4.20 has
	// the first.
	firstVersion = 0x15
	lastVersion  = 0x1f

	// hypercallRequest is IOCTL_PRIVCMD_HYPERCALL (Linux, include/uapi/xen/privcmd.h).
	hypercallRequest = 48<<16 | 'P'<<8
)

// hypercall is struct privcmd_hypercall.
type hypercall struct {
	op        uint64
	arguments [5]uint64
}

// Where the fields of struct xen_sysctl are, of readconsole.
const (
	sysctlSize    = 8 + 128
	atCommand     = 0
	atVersion     = 4
	atIncremental = 9
	atIndex       = 12
	atBuffer      = 16
	atCount       = 24
)

// bufferSize is how much is read at once, bytes. The ring has 16 KiB, or what `conring_size` says.
const bufferSize = 16 << 10

// Ring is the open console ring.
type Ring struct {
	privcmd *os.File
	memory  []byte // pages that stay where they are: the request, and the buffer from the second page on
	version uint32 // 0: unknown
	index   uint32 // of the next byte
}

// Open opens the ring at an index, or at its beginning where it no longer has that: 0 is the beginning. Without Xen
// there is none.
func Open(index uint32) (*Ring, error) {
	privcmd, err := os.OpenFile("/dev/xen/privcmd", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	memory, err := hypercallMemory(os.Getpagesize() + bufferSize)
	if err != nil {
		return nil, errors.Join(err, privcmd.Close())
	}
	return &Ring{privcmd: privcmd, memory: memory, index: index}, nil
}

// hypercallMemory is memory that the kernel does not move while Xen writes to it.
func hypercallMemory(size int) ([]byte, error) {
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

// Close closes the ring.
func (r *Ring) Close() error { return errors.Join(unix.Munmap(r.memory), r.privcmd.Close()) }

// Index is the index of the byte that Read returns next. It goes on behind the last of its 32 bits at 0.
func (r *Ring) Index() uint32 { return r.index }

// Read returns what the hypervisor has said since the last call, "" where there is nothing new.
func (r *Ring) Read() (string, error) {
	if r.version != 0 {
		return r.read(r.version)
	}
	for version := uint32(firstVersion); version <= lastVersion; version++ {
		text, err := r.read(version)
		if !errors.Is(err, unix.EACCES) { // Xen's answer to another version
			r.version = version
			return text, err
		}
	}
	return "", fmt.Errorf("read Xen's console: no version of its interface is known here: %w", unix.EACCES)
}

func (r *Ring) read(version uint32) (string, error) {
	buffer := r.memory[os.Getpagesize():]
	request := r.memory[:sysctlSize]
	encode(request, version, r.index, uint64(uintptr(unsafe.Pointer(&buffer[0]))), uint32(len(buffer)))
	call := hypercall{op: sysctlHypercall}
	call.arguments[0] = uint64(uintptr(unsafe.Pointer(&request[0])))
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, r.privcmd.Fd(), hypercallRequest, uintptr(unsafe.Pointer(&call)))
	runtime.KeepAlive(r)
	if errno != 0 {
		return "", fmt.Errorf("read Xen's console: %w", errno)
	}
	index, count := decode(request)
	if count > uint32(len(buffer)) {
		return "", fmt.Errorf("read Xen's console: %d bytes of %d", count, len(buffer))
	}
	r.index = index
	return string(buffer[:count]), nil
}

// encode writes the request.
func encode(request []byte, version, index uint32, buffer uint64, size uint32) {
	clear(request)
	binary.LittleEndian.PutUint32(request[atCommand:], readConsole)
	binary.LittleEndian.PutUint32(request[atVersion:], version)
	request[atIncremental] = 1
	binary.LittleEndian.PutUint32(request[atIndex:], index)
	binary.LittleEndian.PutUint64(request[atBuffer:], buffer)
	binary.LittleEndian.PutUint32(request[atCount:], size)
}

// decode reads the answer: where the next read begins, and how many bytes there are.
func decode(request []byte) (index, count uint32) {
	return binary.LittleEndian.Uint32(request[atIndex:]), binary.LittleEndian.Uint32(request[atCount:])
}
