package uevent

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrOverflow says that the kernel dropped events because nobody read them in time: what has
// come and gone meanwhile has to be found by coldplug.
var ErrOverflow = errors.New("uevents were lost: the receive buffer overflowed")

const (
	kernelGroup = 1        // multicast group of the kernel's own messages; 2 is udev's
	bufferBytes = 16 << 20 // a limit, not an allocation; the usual 208 KiB overflow at boot
	rootUID     = 0
)

// Listener receives the kernel's uevents.
type Listener struct {
	file *os.File
	raw  syscall.RawConn
	data []byte
	oob  []byte
}

// Listen opens the kernel's uevent socket in the network namespace of the calling thread.
func Listen() (*Listener, error) {
	const kind = unix.SOCK_RAW | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	fd, err := unix.Socket(unix.AF_NETLINK, kind, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("listen to uevents: %w", err)
	}
	if err := configure(fd); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen to uevents: %w", err)
	}
	file := os.NewFile(uintptr(fd), "uevents")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("listen to uevents: %w", err)
	}
	return &Listener{
		file: file, raw: raw,
		data: make([]byte, MaxEventBytes), oob: make([]byte, unix.CmsgSpace(unix.SizeofUcred)),
	}, nil
}

// configure sets the socket's options and joins the kernel's group.
func configure(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bufferBytes); err != nil {
		// Without CAP_NET_ADMIN the system's limit holds; the kernel cuts a larger wish down to it.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, bufferBytes); err != nil {
			return fmt.Errorf("receive buffer: %w", err)
		}
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	address := &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (kernelGroup - 1)}
	if err := unix.Bind(fd, address); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return nil
}

// Receive waits for the next event. ErrOverflow is no reason to stop; os.ErrClosed follows
// Close. What the kernel did not send itself, and what cannot be parsed, is passed over. One
// goroutine at a time may call it.
func (l *Listener) Receive() (Event, error) {
	for {
		n, trusted, err := l.read()
		switch {
		case errors.Is(err, unix.ENOBUFS):
			return Event{}, ErrOverflow
		case err != nil:
			return Event{}, fmt.Errorf("receive uevent: %w", err)
		case !trusted:
			continue
		}
		if event, err := Parse(l.data[:n]); err == nil {
			return event, nil
		}
	}
}

// read takes one message from the socket and says whether the kernel sent it.
func (l *Listener) read() (n int, trusted bool, err error) {
	var oobn int
	var from unix.Sockaddr
	var recvErr error
	err = l.raw.Read(func(fd uintptr) bool {
		n, oobn, _, from, recvErr = unix.Recvmsg(int(fd), l.data, l.oob, 0)
		return recvErr != unix.EAGAIN && recvErr != unix.EINTR
	})
	if err != nil { // RawConn's own error, which os does not export, has one cause here: Close
		return 0, false, os.ErrClosed
	}
	if recvErr != nil {
		return 0, false, recvErr
	}
	return n, fromKernel(from, l.oob[:oobn]), nil
}

// fromKernel checks a message's sender: netlink port 0 is the kernel, and its messages carry
// root's credentials. A process may send to the group, too, if it is privileged.
func fromKernel(from unix.Sockaddr, oob []byte) bool {
	sender, ok := from.(*unix.SockaddrNetlink)
	if !ok || sender.Pid != 0 {
		return false
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 {
		return false
	}
	cred, err := unix.ParseUnixCredentials(&messages[0])
	return err == nil && cred.Uid == rootUID
}

// Close ends a Receive that waits.
func (l *Listener) Close() error { return l.file.Close() }
