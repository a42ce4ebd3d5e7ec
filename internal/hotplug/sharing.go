package hotplug

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
)

// checkSharing refuses a disk whose use would damage a file system: a writable one must not be in
// use anywhere else, a read-only one must not be writable anywhere else. A disk and all that is made of it, or
// that it is made of, count as one. The rules are those of Xen's block script; the relatives are added here.
func checkSharing(ctx context.Context, store Store, disks Disks, r request, m Medium, wanted mode) error {
	if wanted.unchecked {
		return nil
	}
	c, err := carriers(disks, m)
	if err != nil {
		return err
	}
	// A disk with copy-on-write reads from its origins, whatever is written to it.
	for _, use := range []struct {
		mounted, held, readers []Number
		mode                   mode
	}{{c.mounted, c.held, c.readers, wanted}, {c.originsMounted, c.origins, nil, parseMode("r")}} {
		if err := checkMounts(disks, m, use.mounted, use.mode); err != nil {
			return err
		}
		if err := checkGuests(ctx, store, r, m, use.held, use.readers, use.mode); err != nil {
			return err
		}
	}
	return checkClaim(disks, m, wanted)
}

// checkClaim refuses to give away for writing what the kernel uses in a way that is not a mount, as swap space say.
func checkClaim(disks Disks, m Medium, mode mode) error {
	if !m.Block || !mode.writable {
		return nil
	}
	claimed, err := disks.Claimed(m)
	if err != nil || !claimed {
		return err
	}
	return refusal(m, mode, "used by dom0's kernel (swap, RAID, LVM, a file system on several disks)", true)
}

func checkMounts(disks Disks, m Medium, numbers []Number, mode mode) error {
	mounts, err := disks.Mounts()
	if err != nil {
		return err
	}
	for _, mount := range mounts {
		if slices.Contains(numbers, mount.Number) && conflict(mode, !mount.ReadOnly) {
			return refusal(m, mode, "mounted on "+mount.Dir+" in dom0", !mount.ReadOnly)
		}
	}
	return nil
}

// checkGuests looks at every disk that a guest has. Devices of the same machine (the vm key) may
// meet: while a guest restarts, its old and new domain exist side by side.
func checkGuests(
	ctx context.Context, store Store, r request, m Medium, held, readers []Number, mode mode,
) error {
	base := path.Dir(path.Dir(r.backend)) // .../backend/vbd
	vm, err := readOr(ctx, store, vmKey(strconv.Itoa(r.domid)), "")
	if err != nil {
		return err
	}
	domids, err := children(ctx, store, base)
	if err != nil {
		return err
	}
	for _, domid := range domids {
		// The entry of a guest that is gone is left over and does not count.
		other, err := readOr(ctx, store, vmKey(domid), vm)
		if err != nil {
			return err
		}
		if other == vm {
			continue
		}
		if err := checkGuest(ctx, store, path.Join(base, domid), m, held, readers, mode); err != nil {
			return err
		}
	}
	return nil
}

func vmKey(domid string) string { return "/local/domain/" + domid + "/vm" }

// checkGuest looks at the disks of one guest, whose backend directories are in dir. To readers it may write: that
// changes nothing for others.
func checkGuest(ctx context.Context, store Store, dir string, m Medium, held, readers []Number, wanted mode) error {
	devices, err := children(ctx, store, dir)
	if err != nil {
		return err
	}
	for _, device := range devices {
		backend := path.Join(dir, device)
		number, err := readOr(ctx, store, backend+"/physical-device", "")
		if err != nil {
			return err
		}
		text, err := readOr(ctx, store, backend+"/mode", "w")
		if err != nil {
			return err
		}
		writable := parseMode(text).writable && !holds(readers, number)
		if (holds(held, number) || holds(readers, number)) && conflict(wanted, writable) {
			return refusal(m, wanted, "used by guest "+guestName(ctx, store, path.Base(dir)), writable)
		}
	}
	return nil
}

func holds(numbers []Number, text string) bool {
	return slices.ContainsFunc(numbers, func(n Number) bool { return n.String() == text })
}

func conflict(wanted mode, otherWritable bool) bool { return wanted.writable || otherWritable }

// children lists a directory that may have gone.
func children(ctx context.Context, store Store, dir string) ([]string, error) {
	names, err := store.Directory(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return names, err
}

func guestName(ctx context.Context, store Store, domid string) string {
	name, err := store.Read(ctx, "/local/domain/"+domid+"/name")
	if err != nil {
		return domid
	}
	return name
}

func refusal(m Medium, wanted mode, user string, otherWritable bool) error {
	how, what, advice := "read-only", "writable", "make every use of it read-only (mode r)"
	if otherWritable {
		how = "writable"
	}
	if !wanted.writable {
		what, advice = "read-only", "stop the other use first"
	}
	return fmt.Errorf("%s is %s (%s) and so cannot be given to another guest (%s); give each its own copy, or %s: %w",
		m.Path, user, how, what, advice, errBusy)
}
