package xenring

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// conRing is VIRQ_CON_RING (xen/include/public/xen.h): the hypervisor has said something. One at a time in all of dom0
// can have it; xenconsoled would if it kept the hypervisor's log.
const conRing = 8

// bindVIRQ is IOCTL_EVTCHN_BIND_VIRQ (Linux, include/uapi/xen/evtchn.h).
const bindVIRQ = 4<<16 | 'E'<<8

// Bell rings when the hypervisor has said something.
type Bell struct{ channel *os.File }

// NewBell returns the bell. It is taken by one at a time.
func NewBell() (*Bell, error) {
	fd, err := unix.Open("/dev/xen/evtchn", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open event channels: %w", err)
	}
	virq := uint32(conRing)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), bindVIRQ, uintptr(unsafe.Pointer(&virq))); errno != 0 {
		unix.Close(fd)
		return nil, fmt.Errorf("bind the event of Xen's console: %w", errno)
	}
	return &Bell{os.NewFile(uintptr(fd), "/dev/xen/evtchn")}, nil
}

// Close gives the bell up.
func (b *Bell) Close() error { return b.channel.Close() }

// Wait waits until it has rung since the last call, but no longer than limit, and says whether it has. When ctx ends it
// returns an error.
func (b *Bell) Wait(ctx context.Context, limit time.Duration) (rung bool, err error) {
	defer context.AfterFunc(ctx, func() { b.channel.Close() })()
	var port [4]byte // which one has rung; there is only one
	err = b.channel.SetReadDeadline(time.Now().Add(limit))
	if err == nil {
		_, err = b.channel.Read(port[:])
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("wait for Xen's console: %w", err)
	}
	if _, err := b.channel.Write(port[:]); err != nil { // it may ring again
		return false, fmt.Errorf("wait for Xen's console, port %d: %w", binary.NativeEndian.Uint32(port[:]), err)
	}
	return true, nil
}
