package ublk

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/iouring"
)

func keepAlive(b []byte) { runtime.KeepAlive(b) }

// queue is a device's one queue. Requests are known by their tags, 0 to queueDepth-1. Each tag has a buffer
// which the kernel fills before a write and empties after a read.
type queue struct {
	*Device
	char    *os.File // /dev/ublkcN
	ring    *iouring.Ring
	mapped  []byte // descriptors
	buffers []byte
	open    int // tags that the kernel has, or will give back
}

// serveQueue serves requests until the device is stopped. ready gets nil as soon as the device may be
// started, or why it cannot be. The kernel insists on one thread.
func (d *Device) serveQueue(ready chan<- error) error {
	runtime.LockOSThread() // and never given back: the thread ends with this
	q, err := d.openQueue()
	if err == nil {
		for tag := range queueDepth {
			q.fetch(ioFetchReq, tag, 0)
		}
		err = q.ring.Submit(0)
	}
	ready <- err
	if err != nil {
		return nil // it was told
	}
	return errors.Join(q.run(), q.close())
}

func (d *Device) openQueue() (*queue, error) {
	char, err := os.OpenFile("/dev/ublkc"+strconv.Itoa(int(d.id)), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	q := &queue{Device: d, char: char}
	page := os.Getpagesize()
	size := (queueDepth*int(unsafe.Sizeof(ioDesc{})) + page - 1) &^ (page - 1)
	const shared = unix.MAP_SHARED | unix.MAP_POPULATE
	if q.mapped, err = unix.Mmap(int(char.Fd()), 0, size, unix.PROT_READ, shared); err != nil {
		return nil, errors.Join(fmt.Errorf("descriptors: %w", err), q.close())
	}
	const private = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_NORESERVE
	if q.buffers, err = unix.Mmap(-1, 0, queueDepth*maxIOBytes, unix.PROT_READ|unix.PROT_WRITE, private); err != nil {
		return nil, errors.Join(fmt.Errorf("buffers: %w", err), q.close())
	}
	if q.ring, err = iouring.New(queueDepth, false); err != nil {
		return nil, errors.Join(err, q.close())
	}
	return q, nil
}

func (q *queue) close() error {
	var errs []error
	if q.ring != nil {
		errs = append(errs, q.ring.Close())
	}
	for _, mapped := range [][]byte{q.mapped, q.buffers} {
		if mapped != nil {
			errs = append(errs, unix.Munmap(mapped))
		}
	}
	return errors.Join(append(errs, q.char.Close())...)
}

// run works on requests until the kernel has taken all tags back, which it does when the device is stopped.
func (q *queue) run() error {
	for q.open > 0 {
		if err := q.ring.Submit(1); err != nil {
			return err
		}
		for {
			user, result, ok := q.ring.Next()
			if !ok {
				break
			}
			q.open--
			if result == 0 {
				tag := int(user)
				q.fetch(ioCommitAndFetchReq, tag, q.work(tag))
			}
		}
	}
	return nil
}

// fetch gives a tag to the kernel, with the result of the request that it had.
func (q *queue) fetch(op uint32, tag int, result int32) {
	cmd := ioCmd{tag: uint16(tag), result: result, addr: uint64(uintptr(unsafe.Pointer(&q.buffer(tag)[0])))}
	copy(q.ring.Command(int(q.char.Fd()), op, uint64(tag)), bytesOf(&cmd))
	q.open++
}

func (q *queue) buffer(tag int) []byte { return q.buffers[tag*maxIOBytes : (tag+1)*maxIOBytes] }

// work does a request and returns its result: the number of bytes, or a negative errno.
func (q *queue) work(tag int) int32 {
	desc := (*ioDesc)(unsafe.Pointer(&q.mapped[tag*int(unsafe.Sizeof(ioDesc{}))]))
	offset, n := int64(desc.startSector)*sectorBytes, int64(desc.sectors)*sectorBytes
	var err error
	switch op := desc.opFlags & 0xff; op {
	case opRead:
		_, err = q.disk.ReadAt(q.buffer(tag)[:n], offset)
	case opWrite:
		_, err = q.disk.WriteAt(q.buffer(tag)[:n], offset)
	case opDiscard, opWriteZeroes:
		err = q.disk.Zero(offset, n)
	case opFlush: // what was written is in memory, and nowhere else
	default:
		err = unix.EOPNOTSUPP
	}
	if err == nil {
		return int32(n)
	}
	var errno unix.Errno
	if !errors.As(err, &errno) {
		errno = unix.EIO
	}
	return -int32(errno)
}
