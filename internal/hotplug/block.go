package hotplug

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Number is a block device's number.
type Number struct{ Major, Minor uint32 }

// String is the form of the physical-device key: hexadecimal, "7:a".
func (n Number) String() string { return fmt.Sprintf("%x:%x", n.Major, n.Minor) }

// numberOf takes a number of stat(2) apart.
func numberOf(device uint64) Number { return Number{unix.Major(device), unix.Minor(device)} }

// Medium is what a guest's disk is made of.
type Medium struct {
	Path   string // without symbolic links
	Block  bool   // a block device; else a regular file
	Number Number // of the block device
	Device uint64 // of a file: the file system it is on (st_dev) ...
	Inode  uint64 // ... and its number there
}

// Loop is a loop device in use.
type Loop struct {
	Number  Number
	Backing Medium // without its path, which may have changed
}

// Mount is one mounted file system.
type Mount struct {
	Number   Number // of the block device it is on; major 0 for those without one
	Source   string // what mount(8) was given, the device as a rule
	Dir      string
	ReadOnly bool
}

// Relatives are the block devices that share bytes with another one, one step away.
type Relatives struct {
	Below []Number // it is made of them: a partition's disk, a logical volume's physical ones
	Above []Number // they are made of it: a disk's partitions, a physical volume's logical ones
	// Of disks with copy-on-write, which read from one device and write to another:
	Origins []Number // it is one and reads from them
	Readers []Number // they are such disks and read from it
}

// Disks is what block does to the kernel's block devices.
type Disks interface {
	// Identify finds out what path is. Anything but a block device or regular file is an error.
	Identify(path string) (Medium, error)
	// Loops lists the loop devices that are in use.
	Loops() ([]Loop, error)
	// Relatives does not look through loop devices.
	Relatives(Number) (Relatives, error)
	Mounts() ([]Mount, error)
	// Claimed says whether the kernel itself has a block device in use, for whatever it may be.
	Claimed(device Medium) (bool, error)
	// Attach makes a file a block device, for reading only if asked, and returns its path.
	Attach(path string, readOnly bool) (device string, err error)
	// Detach undoes Attach. That it was undone already is no error.
	Detach(device string) error
}

// Backend states (enum xenbus_state in xen/include/public/io/xenbus.h).
const stateInitWait = "2"

// block gives a guest a disk: a block device as it is, a file through a loop device.
func block(ctx context.Context, store Store, system System, r request) error {
	unlock, err := system.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if r.action == detach {
		return release(ctx, store, system.Disks, r)
	}
	return provide(ctx, store, system.Disks, r)
}

// disk is what the guest's configuration says, as libxl left it in the backend directory.
type disk struct {
	path string // params
	mode mode
}

// mode is the mode key: "r" or "w" from xl, with "!" where a user wants no sharing check.
type mode struct{ writable, unchecked bool }

func parseMode(text string) mode {
	return mode{writable: strings.Contains(text, "w"), unchecked: strings.Contains(text, "!")}
}

func provide(ctx context.Context, store Store, disks Disks, r request) error {
	_, err := store.Read(ctx, r.backend+"/physical-device")
	if err == nil {
		return nil // called a second time
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d, err := readDisk(ctx, store, r)
	if err != nil {
		return err
	}
	if d.path == "" {
		return write(ctx, store, r.backend, []node{connected}) // an empty CD drive
	}
	m, err := disks.Identify(d.path)
	if err != nil {
		return err
	}
	if err := checkSharing(ctx, store, disks, r, m, d.mode); err != nil {
		return err
	}
	if !m.Block {
		return connectFile(ctx, store, disks, r, m, d.mode)
	}
	if err := connect(ctx, store, r, m); err != nil {
		return errors.Join(err, withdraw(store, r))
	}
	return nil
}

// readDisk reads what libxl wrote, and checks that the device was not given up meanwhile: one
// provided now would never be released.
func readDisk(ctx context.Context, store Store, r request) (disk, error) {
	state, err := store.Read(ctx, r.backend+"/state")
	if err != nil {
		return disk{}, err
	}
	if state != stateInitWait {
		return disk{}, fmt.Errorf("the device was given up while it was being set up (state %s); was xl interrupted?",
			state)
	}
	params, err := store.Read(ctx, r.backend+"/params")
	if err != nil {
		return disk{}, err
	}
	text, err := store.Read(ctx, r.backend+"/mode")
	if err != nil {
		return disk{}, err
	}
	if params != "" && !strings.HasPrefix(params, "/") {
		params = "/dev/" + params // xl's short form: phy:sda1
	}
	return disk{path: params, mode: parseMode(text)}, nil
}

// connectFile sets a loop device up and takes it down again if telling the backend fails. What the backend
// was told goes first: the loop device may be another guest's in the next moment.
func connectFile(ctx context.Context, store Store, disks Disks, r request, file Medium, mode mode) error {
	device, err := disks.Attach(file.Path, !mode.writable)
	if err != nil {
		return err
	}
	loop, err := disks.Identify(device)
	if err == nil {
		err = write(ctx, store, r.backend, []node{{"node", device}})
	}
	if err == nil {
		err = connect(ctx, store, r, loop)
	}
	if err != nil {
		return errors.Join(err, withdraw(store, r), disks.Detach(device))
	}
	return nil
}

// connect tells blkback which device to serve.
func connect(ctx context.Context, store Store, r request, device Medium) error {
	return write(ctx, store, r.backend, []node{
		{"physical-device-path", device.Path},
		{"physical-device", device.Number.String()},
		connected,
	})
}

// withdraw takes back what connect has said. It has its own deadline: the failure may be that the other
// one passed.
func withdraw(store Store, r request) error {
	ctx, cancel := context.WithTimeout(context.Background(), afterwards)
	defer cancel()
	var errs []error
	for _, key := range []string{"physical-device", "physical-device-path", "node"} {
		if err := store.Rm(ctx, r.backend+"/"+key); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("withdraw %s: %w", key, err))
		}
	}
	return errors.Join(errs...)
}

// release takes the loop device down, if there is one. The key goes first, so that a second call
// cannot hit the same loop device in its next use. A loop device that another disk has by now is left alone:
// the key may be what a failed attach could not take back.
func release(ctx context.Context, store Store, disks Disks, r request) error {
	device, err := readOr(ctx, store, r.backend+"/node", "")
	if err != nil || device == "" {
		return err
	}
	if err := store.Rm(ctx, r.backend+"/node"); err != nil {
		return err
	}
	taken, err := isNode(ctx, store, path.Dir(path.Dir(r.backend)), device)
	if err != nil || taken {
		return err
	}
	return disks.Detach(device)
}

// isNode says whether any disk's backend directory, DOMID/DEVICE below base, has device for its node.
func isNode(ctx context.Context, store Store, base, device string) (bool, error) {
	domids, err := children(ctx, store, base)
	if err != nil {
		return false, err
	}
	for _, domid := range domids {
		devices, err := children(ctx, store, path.Join(base, domid))
		if err != nil {
			return false, err
		}
		for _, d := range devices {
			node, err := readOr(ctx, store, path.Join(base, domid, d, "node"), "")
			if err != nil || node == device {
				return err == nil, err
			}
		}
	}
	return false, nil
}
