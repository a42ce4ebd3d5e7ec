// Package xenring reads what the hypervisor says, its console ring, as `xl dmesg` does, but only what is new and
// without a process: by the hypercall readconsole (xen/include/public/sysctl.h).
package xenring

import (
	"encoding/binary"
	"fmt"

	"github.com/zerodisc/zerodisc/internal/hypercall"
)

// readConsole is XEN_SYSCTL_readconsole.
const readConsole = 1

// Where the fields of struct xen_sysctl_readconsole are.
const (
	atIncremental = 1
	atIndex       = 4
	atBuffer      = 8
	atCount       = 16
)

// bufferSize is how much is read at once, bytes. The ring has 16 KiB, or what `conring_size` says.
const bufferSize = 16 << 10

// Ring is the open console ring.
type Ring struct {
	sysctl *hypercall.Sysctl
	index  uint32 // of the next byte
}

// Open opens the ring at an index, or at its beginning where it no longer has that: 0 is the beginning. Without Xen
// there is none.
func Open(index uint32) (*Ring, error) {
	sysctl, err := hypercall.Open(bufferSize)
	if err != nil {
		return nil, err
	}
	return &Ring{sysctl: sysctl, index: index}, nil
}

// Close closes the ring.
func (r *Ring) Close() error { return r.sysctl.Close() }

// Index is the index of the byte that Read returns next. It goes on behind the last of its 32 bits at 0.
func (r *Ring) Index() uint32 { return r.index }

// Read returns what the hypervisor has said since the last call, "" where there is nothing new.
func (r *Ring) Read() (string, error) {
	buffer := r.sysctl.Buffer()
	var index, count uint32
	err := r.sysctl.Do(readConsole,
		func(arguments []byte) { encode(arguments, r.index, r.sysctl.BufferAddress(), uint32(len(buffer))) },
		func(arguments []byte) { index, count = decode(arguments) })
	if err != nil {
		return "", fmt.Errorf("read Xen's console: %w", err)
	}
	if count > uint32(len(buffer)) {
		return "", fmt.Errorf("read Xen's console: %d bytes of %d", count, len(buffer))
	}
	r.index = index
	return string(buffer[:count]), nil
}

// encode writes the arguments.
func encode(arguments []byte, index uint32, buffer uint64, size uint32) {
	arguments[atIncremental] = 1
	binary.LittleEndian.PutUint32(arguments[atIndex:], index)
	binary.LittleEndian.PutUint64(arguments[atBuffer:], buffer)
	binary.LittleEndian.PutUint32(arguments[atCount:], size)
}

// decode reads the answer: where the next read begins, and how many bytes there are.
func decode(arguments []byte) (index, count uint32) {
	return binary.LittleEndian.Uint32(arguments[atIndex:]), binary.LittleEndian.Uint32(arguments[atCount:])
}
