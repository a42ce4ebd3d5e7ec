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

// Socket receives the messages of one multicast group of uevents: the kernel's own, or what a device manager sends on.
type Socket struct {
	file *os.File
	raw  syscall.RawConn
	data []byte
	oob  []byte
}

// OpenSocket opens a socket for messages of size bytes at most, in the network namespace of the calling thread.
func OpenSocket(group, size int) (*Socket, error) {
	const kind = unix.SOCK_RAW | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	fd, err := unix.Socket(unix.AF_NETLINK, kind, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("listen to uevents: %w", err)
	}
	if err := configure(fd, group); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen to uevents: %w", err)
	}
	file := os.NewFile(uintptr(fd), "uevents")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("listen to uevents: %w", err)
	}
	return &Socket{
		file: file, raw: raw, data: make([]byte, size), oob: make([]byte, unix.CmsgSpace(unix.SizeofUcred)),
	}, nil
}

// configure sets the socket's options and joins the group.
func configure(fd, group int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bufferBytes); err != nil {
		// Without CAP_NET_ADMIN the system's limit holds; the kernel cuts a larger wish down to it.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, bufferBytes); err != nil {
			return fmt.Errorf("receive buffer: %w", err)
		}
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	address := &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (group - 1)}
	if err := unix.Bind(fd, address); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return nil
}

// Receive waits for the next message, which is good until the next call. Kernel says that the kernel has sent it,
// root that a process of root's has. ErrOverflow is no reason to stop; os.ErrClosed follows Close. One goroutine at a
// time may call it.
func (s *Socket) Receive() (message []byte, kernel, root bool, err error) {
	var n, oobn int
	var from unix.Sockaddr
	var recvErr error
	err = s.raw.Read(func(fd uintptr) bool {
		n, oobn, _, from, recvErr = unix.Recvmsg(int(fd), s.data, s.oob, 0)
		return recvErr != unix.EAGAIN && recvErr != unix.EINTR
	})
	switch {
	case err != nil: // RawConn's own error, which os does not export, has one cause here: Close
		return nil, false, false, os.ErrClosed
	case errors.Is(recvErr, unix.ENOBUFS):
		return nil, false, false, ErrOverflow
	case recvErr != nil:
		return nil, false, false, fmt.Errorf("receive uevent: %w", recvErr)
	}
	kernel, root = sender(from, s.oob[:oobn])
	return s.data[:n], kernel, root, nil
}

// sender checks a message's sender: netlink port 0 is the kernel, and its messages carry root's credentials. A
// process may send to the group, too, if it is privileged.
func sender(from unix.Sockaddr, oob []byte) (kernel, root bool) {
	address, ok := from.(*unix.SockaddrNetlink)
	if !ok {
		return false, false
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 {
		return false, false
	}
	cred, err := unix.ParseUnixCredentials(&messages[0])
	root = err == nil && cred.Uid == rootUID
	return root && address.Pid == 0, root && address.Pid != 0
}

// Close ends a Receive that waits.
func (s *Socket) Close() error { return s.file.Close() }

// Listener receives the kernel's uevents.
type Listener struct{ socket *Socket }

// Listen opens the kernel's uevent socket in the network namespace of the calling thread.
func Listen() (*Listener, error) {
	socket, err := OpenSocket(kernelGroup, MaxEventBytes)
	if err != nil {
		return nil, err
	}
	return &Listener{socket}, nil
}

// Receive waits for the next event. ErrOverflow is no reason to stop; os.ErrClosed follows
// Close. What the kernel did not send itself, and what cannot be parsed, is passed over. One
// goroutine at a time may call it.
func (l *Listener) Receive() (Event, error) {
	for {
		message, kernel, _, err := l.socket.Receive()
		if err != nil {
			return Event{}, err
		}
		if !kernel {
			continue
		}
		if event, err := Parse(message); err == nil {
			return event, nil
		}
	}
}

// Close ends a Receive that waits.
func (l *Listener) Close() error { return l.socket.Close() }
