package xen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// ErrNoDrivers says that a guest cannot be asked, because its kernel has no drivers for Xen.
var ErrNoDrivers = errors.New("the guest has no Xen drivers and cannot be asked")

// order runs a command of xl for a domain. The domain is named by number, since xl would take a name of digits for one.
func (x *Toolstack) order(ctx context.Context, domid int, command string, args ...string) error {
	_, err := x.xl(ctx, append([]string{command, strconv.Itoa(domid)}, args...)...)
	if err != nil && strings.Contains(err.Error(), "PV control interface not available") {
		err = ErrNoDrivers
	}
	return nameDomain(err, domid)
}

// Reboot asks a domain to reboot, and returns when the request is taken. ErrNoDrivers says that it cannot be asked.
func (x *Toolstack) Reboot(ctx context.Context, domid int) error {
	return x.order(ctx, domid, "reboot")
}

// Pause takes a domain's processors away, Unpause gives them back.
func (x *Toolstack) Pause(ctx context.Context, domid int) error { return x.order(ctx, domid, "pause") }

// Unpause is described with Pause.
func (x *Toolstack) Unpause(ctx context.Context, domid int) error {
	return x.order(ctx, domid, "unpause")
}

// Rename gives a domain another name.
func (x *Toolstack) Rename(ctx context.Context, domid int, name string) error {
	return x.order(ctx, domid, "rename", name)
}

// SetMemory tells a domain how much memory it is to have, and returns before it has.
func (x *Toolstack) SetMemory(ctx context.Context, domid int, kib int64) error {
	return x.order(ctx, domid, "mem-set", strconv.FormatInt(kib, 10)+"k")
}

// SetVCPUs tells a domain how many virtual CPUs to use, and returns before it does. It may be more than the host has,
// as when the domain was made (-i).
func (x *Toolstack) SetVCPUs(ctx context.Context, domid, count int) error {
	_, err := x.xl(ctx, "vcpu-set", "-i", strconv.Itoa(domid), strconv.Itoa(count))
	return nameDomain(err, domid)
}

// MaxVCPUs is how many virtual CPUs a domain can use, 0 if that is unknown: libxl has written an entry for each to the
// store when it made the domain (xenstore-paths(7), cpu/$CPU/availability).
func (x *Toolstack) MaxVCPUs(ctx context.Context, domid int) (int, error) {
	entries, err := x.store.Directory(ctx, home(domid)+"/cpu")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("vCPUs of domain %d: %w", domid, err)
	}
	return len(entries), nil
}

// AttachDisk gives a domain a disk, written as in a configuration.
func (x *Toolstack) AttachDisk(ctx context.Context, domid int, disk string) error {
	return x.order(ctx, domid, "block-attach", disk)
}

// DetachDisk takes a disk from a domain, whose kernel has to let go of it. xl waits for that,
// and fails where it does not.
func (x *Toolstack) DetachDisk(ctx context.Context, domid int, vdev string) error {
	return x.order(ctx, domid, "block-detach", vdev)
}

// AttachNIC gives a domain a network interface, by its parameters: xl takes each as an argument, unlike in a
// configuration.
func (x *Toolstack) AttachNIC(ctx context.Context, domid int, words []string) error {
	return x.order(ctx, domid, "network-attach", words...)
}

// DetachNIC takes the network interface with that MAC address from a domain.
func (x *Toolstack) DetachNIC(ctx context.Context, domid int, mac string) error {
	return x.order(ctx, domid, "network-detach", mac)
}

// HasDisk says whether dom0 still serves the disk with that number to a domain. A guest that lets go of a disk after xl
// has stopped waiting for it has none any more.
func (x *Toolstack) HasDisk(ctx context.Context, domid, number int) (bool, error) {
	_, err := x.store.Read(ctx, fmt.Sprintf("%s/%d/%s", backends("vbd", domid), number, diskFrontend))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return true, err
}
