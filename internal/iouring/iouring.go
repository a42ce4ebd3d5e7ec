// Package iouring is the part of io_uring(7) that a program needs to talk to drivers which take their commands
// that way (IORING_OP_URING_CMD), as ublk does.
package iouring

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From linux/io_uring.h.
const (
	setupDisabled = 1 << 6  // until it is told otherwise
	setupSQE128   = 1 << 10 // submission entries of 128 bytes, with room for a command of 80

	registerRestrictions, registerEnable = 11, 12
	restrictSQEOp                        = 1

	enterGetEvents = 1 << 0

	offsetSQRing = 0
	offsetSQEs   = 0x10000000

	featureSingleMmap = 1 << 0

	opURingCmd = 46

	sqeBytes = 64
	cqeBytes = 16
)

// sqOffsets and cqOffsets are struct io_sqring_offsets and io_cqring_offsets.
type sqOffsets struct {
	head, tail, ringMask, ringEntries, flags, dropped, array, resv1 uint32
	userAddr                                                        uint64
}

type cqOffsets struct {
	head, tail, ringMask, ringEntries, overflow, cqes, flags, resv1 uint32
	userAddr                                                        uint64
}

// params is struct io_uring_params.
type params struct {
	sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, wqFD uint32
	resv                                                                   [3]uint32
	sq                                                                     sqOffsets
	cq                                                                     cqOffsets
}

// Ring is one io_uring. One thread uses it.
type Ring struct {
	fd        int
	rings     []byte // both rings
	sqes      []byte
	entrySize uint32

	sqHead, sqTail, cqHead, cqTail *uint32 // shared with the kernel
	sqMask, cqMask                 uint32
	array                          []uint32
	cqes                           []byte

	unsubmitted uint32
}

// New makes a ring for entries submissions at a time. wide gives each command 80 bytes in place of 16.
func New(entries int, wide bool) (*Ring, error) {
	p := params{flags: setupDisabled}
	r := &Ring{entrySize: sqeBytes}
	if wide {
		p.flags, r.entrySize = p.flags|setupSQE128, 2*sqeBytes
	}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(entries), uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("io_uring: %w", errno)
	}
	unix.CloseOnExec(int(fd))
	r.fd = int(fd)
	if p.features&featureSingleMmap == 0 {
		return nil, errors.Join(errors.New("io_uring: the kernel is older than 5.4"), r.Close())
	}
	if err := r.mmap(&p); err != nil {
		return nil, errors.Join(fmt.Errorf("io_uring: %w", err), r.Close())
	}
	if err := r.restrict(); err != nil {
		return nil, errors.Join(fmt.Errorf("io_uring: %w", err), r.Close())
	}
	return r, nil
}

// restriction is struct io_uring_restriction.
type restriction struct {
	opcode uint16
	op     uint8
	_      [13]uint8
}

// restrict makes the ring take drivers' commands and nothing else: it would also open files, for a process that may
// not do that by a system call any more.
func (r *Ring) restrict() error {
	only := restriction{opcode: restrictSQEOp, op: opURingCmd}
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), registerRestrictions,
		uintptr(unsafe.Pointer(&only)), 1, 0, 0)
	if errno == 0 {
		_, _, errno = unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), registerEnable, 0, 0, 0, 0)
	}
	if errno != 0 {
		return fmt.Errorf("restrict: %w", errno)
	}
	return nil
}

// mmap maps the rings and the submission entries.
func (r *Ring) mmap(p *params) (err error) {
	size := max(p.sq.array+p.sqEntries*4, p.cq.cqes+p.cqEntries*cqeBytes)
	const access, shared = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_POPULATE
	if r.rings, err = unix.Mmap(r.fd, offsetSQRing, int(size), access, shared); err != nil {
		return err
	}
	if r.sqes, err = unix.Mmap(r.fd, offsetSQEs, int(p.sqEntries*r.entrySize), access, shared); err != nil {
		return err
	}
	word := func(offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.rings[offset])) }
	r.sqHead, r.sqTail, r.sqMask = word(p.sq.head), word(p.sq.tail), *word(p.sq.ringMask)
	r.cqHead, r.cqTail, r.cqMask = word(p.cq.head), word(p.cq.tail), *word(p.cq.ringMask)
	r.array = unsafe.Slice(word(p.sq.array), p.sqEntries)
	r.cqes = r.rings[p.cq.cqes:]
	return nil
}

// Command is the bytes of a driver's command to fill in: 16, or 80 of a wide ring.
type Command []byte

// Command queues the driver's command op for the file fd and returns its bytes, which are zero. user comes back
// with its completion. There must be room: as many commands as the ring was made for may be queued between two
// Submits.
func (r *Ring) Command(fd int, op uint32, user uint64) Command {
	tail := *r.sqTail
	index := tail & r.sqMask
	sqe := r.sqes[index*r.entrySize : (index+1)*r.entrySize]
	clear(sqe)
	sqe[0] = opURingCmd
	*(*int32)(unsafe.Pointer(&sqe[4])) = int32(fd)
	*(*uint32)(unsafe.Pointer(&sqe[8])) = op
	*(*uint64)(unsafe.Pointer(&sqe[32])) = user
	r.array[index] = index
	atomic.StoreUint32(r.sqTail, tail+1)
	r.unsubmitted++
	return Command(sqe[48:])
}

// Submit hands what is queued to the kernel and waits until at least wait commands are complete.
func (r *Ring) Submit(wait int) error {
	for {
		n, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(r.unsubmitted), uintptr(wait),
			enterGetEvents, 0, 0)
		switch errno {
		case 0:
			r.unsubmitted -= uint32(n)
			return nil
		case unix.EINTR:
			if r.completed() {
				return nil
			}
		case unix.EAGAIN, unix.EBUSY: // short of memory for a moment
		default:
			return fmt.Errorf("io_uring: %w", errno)
		}
	}
}

func (r *Ring) completed() bool { return atomic.LoadUint32(r.cqTail) != *r.cqHead }

// Next takes the next completion: the command's user value and its result, which is a negative errno after a failure.
// ok says whether there was one.
func (r *Ring) Next() (user uint64, result int32, ok bool) {
	head := *r.cqHead
	if head == atomic.LoadUint32(r.cqTail) {
		return 0, 0, false
	}
	cqe := r.cqes[(head&r.cqMask)*cqeBytes:]
	user, result = *(*uint64)(unsafe.Pointer(&cqe[0])), *(*int32)(unsafe.Pointer(&cqe[8]))
	atomic.StoreUint32(r.cqHead, head+1)
	return user, result, true
}

// Close gives the ring back. Commands that are under way are cancelled.
func (r *Ring) Close() error {
	var errs []error
	for _, mapped := range [][]byte{r.rings, r.sqes} {
		if mapped != nil {
			errs = append(errs, unix.Munmap(mapped))
		}
	}
	return errors.Join(append(errs, unix.Close(r.fd))...)
}
