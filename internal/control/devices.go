package control

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/host"
)

// AttachDisk gives a guest one more disk, written as in disk=[...], and returns its device name. It is made as at the
// guest's creation, with copy-on-write where the guest may not write to the target, and the guest has it in its next
// domains, too, until DetachDisk. A guest that was made by hand has it as its own xl makes it.
func (c *Controller) AttachDisk(ctx context.Context, name, spec string) (vdev string, err error) {
	err = c.change(ctx, name, "attach a disk",
		func(ctx context.Context, l *life, domid int) (err error) {
			vdev, err = l.attachDisk(ctx, domid, spec)
			return err
		},
		func(ctx context.Context, g *host.Guest) error {
			resolved, named, err := byHand(g).WithDisk(c.Machine(), spec)
			if err != nil {
				return err
			}
			if d := resolved.Disks; len(d) > 0 && d[0].Format != "raw" {
				return fmt.Errorf("disk %s: a guest that was made by hand gets raw disks only, not %s",
					named, d[0].Format)
			}
			vdev = named
			text, _ := resolved.DiskText(named)
			return c.Xen.AttachDisk(ctx, g.Domid, text)
		})
	if err != nil { // a change that nobody waits for any more may go on
		return "", err
	}
	return vdev, nil
}

// byHand is a guest that was made by hand as far as it is known. Root has made it, and may give it what root wants.
func byHand(g *host.Guest) *guests.Resolved {
	config := &guests.Config{File: "the order"}
	return &guests.Resolved{
		Guest:    &guests.Guest{Name: g.Name, Dir: "/", File: config.File, Config: config, Trusted: true},
		Complete: config, UUID: g.UUID, Type: guests.Type(g.Type),
	}
}

func (l *life) attachDisk(ctx context.Context, domid int, text string) (string, error) {
	spec, vdev, err := l.spec.WithDisk(l.Machine(), text)
	if err != nil {
		return "", err
	}
	only := *spec
	only.Disks = slices.DeleteFunc(slices.Clone(spec.Disks), func(d guests.Disk) bool { return d.Vdev != vdev })
	if err := l.Disks.Lacks(&only); err != nil {
		return "", err
	}
	if l.hasDisk(ctx, domid, vdev) { // xl would fail, and what is left of the failure would be taken away: that disk
		return "", fmt.Errorf("it has a disk %s already, by xl; choose another device name, or detach that disk first",
			vdev)
	}
	if err := l.disks.Attach(ctx, spec, vdev); err != nil {
		return "", err
	}
	disk, _ := spec.WithDevices(l.disks.Devices()).DiskText(vdev)
	if err := l.Xen.AttachDisk(ctx, domid, disk); err != nil {
		if l.hasDisk(ctx, domid, vdev) {
			_ = l.Xen.DetachDisk(ctx, domid, vdev) // what is left of it
		}
		l.disks.Detach(l.spec, vdev)
		return "", err
	}
	l.settle(spec)
	return vdev, nil
}

// hasDisk says whether a domain still has a disk, as far as is known.
func (c *Controller) hasDisk(ctx context.Context, domid int, vdev string) bool {
	number, known := guests.VdevNumber(vdev)
	if !known {
		return false
	}
	has, err := c.Xen.HasDisk(ctx, domid, number)
	return has || err != nil
}

// DetachDisk takes a disk from a guest, which has to let go of it: where it is in use there, that is an error. What the
// guest has written to it with copy-on-write is lost.
func (c *Controller) DetachDisk(ctx context.Context, name, vdev string) error {
	return c.change(ctx, name, "detach a disk",
		func(ctx context.Context, l *life, domid int) error { return l.detachDisk(ctx, domid, vdev) },
		func(ctx context.Context, g *host.Guest) error {
			if !c.hasDisk(ctx, g.Domid, vdev) {
				return noDisk(vdev)
			}
			return c.detachDisk(ctx, g.Domid, vdev)
		})
}

func noDisk(name string) error { return &refusal{ErrNoDevice, fmt.Sprintf("it has no disk %q", name)} }

func (l *life) detachDisk(ctx context.Context, domid int, name string) error {
	_, vdev := l.spec.DiskText(name)
	switch {
	case vdev == "" && l.hasDisk(ctx, domid, name): // xl was given it by hand
		return l.Controller.detachDisk(ctx, domid, name)
	case vdev == "":
		return noDisk(name)
	}
	if err := l.Controller.detachDisk(ctx, domid, vdev); err != nil {
		return err
	}
	spec := l.spec.WithoutDisk(vdev)
	l.disks.Detach(spec, vdev)
	l.settle(spec)
	return nil
}

// detachDisk takes a disk from a domain. A guest that lets go of it late has made xl fail once before.
func (c *Controller) detachDisk(ctx context.Context, domid int, vdev string) error {
	number, known := guests.VdevNumber(vdev)
	if !known {
		return fmt.Errorf("%q is no device name that Xen knows; write xvda, xvdb and so on", vdev)
	}
	before, err := c.Xen.HasDisk(ctx, domid, number)
	if err == nil && !before {
		return nil
	}
	if err := c.Xen.DetachDisk(ctx, domid, vdev); err != nil && c.hasDisk(ctx, domid, vdev) {
		return fmt.Errorf("disk %s: %w; unmount it in the guest, whose kernel has to let go of it, and detach it then",
			vdev, err)
	}
	return nil
}

// AttachNIC gives a guest one more network interface, written as in vif=[...], and returns its MAC address. The guest
// has it in its next domains, too, until DetachNIC.
func (c *Controller) AttachNIC(ctx context.Context, name, spec string) (mac string, err error) {
	err = c.change(ctx, name, "attach a network interface",
		func(ctx context.Context, l *life, domid int) error {
			resolved, given, err := l.spec.WithVIF(l.Machine(), spec)
			if err == nil {
				err = c.attachNIC(ctx, domid, given, resolved.VIFWords(given))
			}
			if err != nil {
				return err
			}
			mac = given
			l.settle(resolved)
			return nil
		},
		func(ctx context.Context, g *host.Guest) error {
			given, words, err := c.vifByHand(g, spec)
			if err == nil {
				err = c.attachNIC(ctx, g.Domid, given, words)
			}
			mac = given
			return err
		})
	if err != nil {
		return "", err
	}
	return mac, nil
}

// attachNIC gives a domain a network interface with a MAC address that no other guest has.
func (c *Controller) attachNIC(ctx context.Context, domid int, mac string, words []string) error {
	if other := c.State.Snapshot().ByMAC(mac); other != nil {
		return fmt.Errorf("guest %q has the MAC address %s already; choose another one, or none", other.Name, mac)
	}
	if c.CheckMAC != nil {
		if err := c.CheckMAC(mac, ""); err != nil {
			return fmt.Errorf("MAC address %s: %w; choose another one, or none", mac, err)
		}
	}
	return c.Xen.AttachNIC(ctx, domid, words)
}

// vifByHand makes the parameters of an interface for a guest that was made by hand. Its number is libxl's to choose:
// nobody here knows those that it has.
func (c *Controller) vifByHand(g *host.Guest, spec string) (mac string, words []string, err error) {
	before := byHand(g)
	for _, taken := range g.MACs {
		if before, _, err = before.WithVIF(c.Machine(), "mac="+taken); err != nil {
			return "", nil, err
		}
	}
	resolved, mac, err := before.WithVIF(c.Machine(), spec)
	if err != nil {
		return "", nil, err
	}
	isNumber := func(word string) bool { return strings.HasPrefix(word, "devid=") }
	words = slices.DeleteFunc(resolved.VIFWords(mac), isNumber)
	return mac, words, nil
}

var errNoNIC = &refusal{ErrNoDevice, "it has no network interface with that MAC address"}

// DetachNIC takes the network interface with that MAC address from a guest.
func (c *Controller) DetachNIC(ctx context.Context, name, mac string) error {
	mac, err := guests.CanonicalMAC(mac)
	if err != nil {
		return err
	}
	return c.change(ctx, name, "detach a network interface",
		func(ctx context.Context, l *life, domid int) error {
			if l.spec.VIFWords(mac) == nil {
				return c.detachNICByHand(ctx, l.State.Snapshot().ByUUID(l.uuid), mac) // xl was given it
			}
			if err := l.Xen.DetachNIC(ctx, domid, mac); err != nil {
				return err
			}
			l.settle(l.spec.WithoutVIF(mac))
			return nil
		},
		func(ctx context.Context, g *host.Guest) error { return c.detachNICByHand(ctx, g, mac) })
}

// detachNICByHand takes a network interface that no configuration has from a guest.
func (c *Controller) detachNICByHand(ctx context.Context, g *host.Guest, mac string) error {
	if !slices.Contains(g.MACs, mac) {
		return errNoNIC
	}
	return c.Xen.DetachNIC(ctx, g.Domid, mac)
}
