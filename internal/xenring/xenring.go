// Package xenring reads what the hypervisor says, its console ring, as `xl dmesg` does, but only what is new and
// without a process: by the sysctl hypercall readconsole (xen/include/public/sysctl.h).
package xenring

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/hypercall"
)

const (
	readConsole = 1 // XEN_SYSCTL_readconsole

	// Versions of the sysctl interface: Xen takes one of them, and what is used here is the same in all. Xen 4.20 has
	// the first.
	firstVersion = 0x15
	lastVersion  = 0x1f
)

// Where the fields of struct xen_sysctl are, of readconsole.
const (
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
	xen     *hypercall.Caller
	version uint32 // 0: unknown
	index   uint32 // of the next byte
}

// Open opens the ring at an index, or at its beginning where it no longer has that: 0 is the beginning. Without Xen
// there is none.
func Open(index uint32) (*Ring, error) {
	xen, err := hypercall.Open(bufferSize)
	if err != nil {
		return nil, err
	}
	return &Ring{xen: xen, index: index}, nil
}

// Close closes the ring.
func (r *Ring) Close() error { return r.xen.Close() }

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
	request, buffer := r.xen.Request(), r.xen.Buffer()
	encode(request, version, r.index, r.xen.BufferAddress(), uint32(len(buffer)))
	if err := r.xen.Sysctl(); err != nil {
		return "", fmt.Errorf("read Xen's console: %w", err)
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
