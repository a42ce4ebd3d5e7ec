// Package hypercall asks the hypervisor what a toolstack may ask, by sysctl hypercalls (xen/include/public/sysctl.h)
// through /dev/xen/privcmd: without a process, and so for a thousandth of what xl costs.
package hypercall

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

// Where the fields of struct xen_sysctl are. The arguments of a command are a union of 128 bytes.
const (
	atCommand   = 0
	atVersion   = 4
	atArguments = 8
	sysctlSize  = atArguments + 128
)

// Sysctl makes hypercalls, one at a time.
type Sysctl struct {
	privcmd *os.File
	memory  []byte // pages that stay where they are: the request, and the buffer from the second page on
	version uint32 // 0: unknown
}

// Open makes ready for hypercalls with a buffer of that size, bytes. Without Xen there are none.
func Open(buffer int) (*Sysctl, error) {
	privcmd, err := os.OpenFile("/dev/xen/privcmd", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	memory, err := fixedMemory(os.Getpagesize() + buffer)
	if err != nil {
		return nil, errors.Join(err, privcmd.Close())
	}
	return &Sysctl{privcmd: privcmd, memory: memory}, nil
}

// fixedMemory is memory that the kernel does not move while Xen writes to it.
func fixedMemory(size int) ([]byte, error) {
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

// Close gives up what Open has taken.
func (s *Sysctl) Close() error { return errors.Join(unix.Munmap(s.memory), s.privcmd.Close()) }

// Buffer is memory that Xen may write to.
func (s *Sysctl) Buffer() []byte { return s.memory[os.Getpagesize():] }

// BufferAddress is where Xen finds the buffer.
func (s *Sysctl) BufferAddress() uint64 { return uint64(uintptr(unsafe.Pointer(&s.Buffer()[0]))) }

// Do has Xen do a command. set writes its arguments, and get reads what Xen has made of them.
func (s *Sysctl) Do(command uint32, set, get func(arguments []byte)) error {
	if s.version != 0 {
		return s.do(s.version, command, set, get)
	}
	for version := uint32(firstVersion); version <= lastVersion; version++ {
		err := s.do(version, command, set, get)
		if !errors.Is(err, unix.EACCES) { // Xen's answer to another version
			s.version = version
			return err
		}
	}
	return fmt.Errorf("no version of Xen's interface is known here: %w", unix.EACCES)
}

func (s *Sysctl) do(version, command uint32, set, get func(arguments []byte)) error {
	request := s.memory[:sysctlSize]
	encode(request, version, command, set)
	call := hypercall{op: sysctlHypercall}
	call.arguments[0] = uint64(uintptr(unsafe.Pointer(&request[0])))
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, s.privcmd.Fd(), hypercallRequest, uintptr(unsafe.Pointer(&call)))
	runtime.KeepAlive(s)
	if errno != 0 {
		return errno
	}
	get(request[atArguments:])
	return nil
}

// encode writes a request.
func encode(request []byte, version, command uint32, set func(arguments []byte)) {
	clear(request)
	binary.LittleEndian.PutUint32(request[atCommand:], command)
	binary.LittleEndian.PutUint32(request[atVersion:], version)
	set(request[atArguments:])
}
