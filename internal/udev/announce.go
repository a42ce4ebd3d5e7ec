package udev

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/uevent"
)

// Announcer opens a socket and returns the function that sends messages to udev's listeners in the network namespace
// of the calling thread. Nobody listens as a rule.
func Announcer() (func(message []byte), error) {
	const kind = unix.SOCK_RAW | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	fd, err := unix.Socket(unix.AF_NETLINK, kind, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("announce devices: %w", err)
	}
	to := &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (Group - 1)}
	return func(message []byte) {
		// ECONNREFUSED says that nobody listens; what a slow listener loses it has to look for, as after any overflow.
		_ = unix.Sendto(fd, message, 0, to)
	}, nil
}

// Listener receives what a device manager announces.
type Listener struct{ socket *uevent.Socket }

// Listen begins to listen in the network namespace of the calling thread.
func Listen() (*Listener, error) {
	socket, err := uevent.OpenSocket(Group, maxMessage)
	if err != nil {
		return nil, err
	}
	return &Listener{socket}, nil
}

// Receive waits for the next announcement and returns the device's properties. uevent.ErrOverflow is no reason to
// stop; os.ErrClosed follows Close. What root did not send, and what cannot be parsed, is passed over. One goroutine
// at a time may call it.
func (l *Listener) Receive() (Properties, error) {
	for {
		message, _, root, err := l.socket.Receive()
		if err != nil {
			return nil, err
		}
		if !root {
			continue
		}
		if p, err := ParseMessage(message); err == nil {
			return p, nil
		}
	}
}

// Close ends a Receive that waits.
func (l *Listener) Close() error { return l.socket.Close() }

// AddNames gives the network interface with an index alternative names.
func AddNames(index int, names []string) error {
	link := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
	var errs []error
	for _, name := range names {
		if err := netlink.LinkAddAltName(link, name); err != nil && !errors.Is(err, unix.EEXIST) {
			errs = append(errs, fmt.Errorf("alternative name %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}
