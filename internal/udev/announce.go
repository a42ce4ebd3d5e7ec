package udev

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Announcer opens a socket and returns the function that sends messages to udev's listeners in the network namespace of the
// calling thread. Nobody listens as a rule.
func Announcer() (func(message []byte), error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("announce devices: %w", err)
	}
	to := &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (Group - 1)}
	return func(message []byte) {
		// ECONNREFUSED says that nobody listens; what a slow listener loses it has to look for, as after any overflow.
		_ = unix.Sendto(fd, message, 0, to)
	}, nil
}

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
