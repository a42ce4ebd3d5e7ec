// Package guestdisktest has a kernel for tests of guests' disks, which only notes what it is asked for.
package guestdisktest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/devmapper"
)

// Kernel is a guestdisk.Kernel. Its fields may be set before it is used; Use, Plug, Spoil and Calls may be called at
// any time.
type Kernel struct {
	Blocks  []string // paths that are block devices
	Memory  []string // directories that lie in memory
	Size    int64    // of every block device, bytes
	Failing string   // the call that fails: a beginning of what Calls has
	Error   error    // with which it does; nil for some error

	mu      sync.Mutex // guards what follows
	calls   []string
	used    int64
	devices []string // of the device mapper, by name
	loops   int
	invalid bool
}

// Spoil has all snapshots fail until they are revived.
func (k *Kernel) Spoil() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.invalid = true
}

// IsInvalid is true from Spoil on.
func (k *Kernel) IsInvalid(string) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.invalid, nil
}

// Revive ends what Spoil has begun. The device has another path then.
func (k *Kernel) Revive(snapshot, uuid, changes string) (string, error) {
	if err := k.call("revive %s %q %s", snapshot, uuid, filepath.Base(changes)); err != nil {
		return "", err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.invalid = false
	return "/dev/mapper/new-" + snapshot, nil
}

// Use says how much memory changes take.
func (k *Kernel) Use(bytes int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.used = bytes
}

// Calls returns what was asked for since the last time.
func (k *Kernel) Calls() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	calls := k.calls
	k.calls = nil
	return calls
}

func (k *Kernel) call(format string, args ...any) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	call := fmt.Sprintf(format, args...)
	k.calls = append(k.calls, call)
	if k.Failing != "" && strings.HasPrefix(call, k.Failing) {
		return cmp.Or(k.Error, errors.New("no luck"))
	}
	return nil
}

// Attach returns a file in place of a loop device.
func (k *Kernel) Attach(file *os.File, readOnly bool) (*os.File, error) {
	if err := k.call("attach %s %t", filepath.Base(file.Name()), readOnly); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.loops++
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	fd, err := unix.Dup(int(null.Fd()))
	return os.NewFile(uintptr(fd), fmt.Sprintf("/dev/loop%d", k.loops)), err
}

// Bytes is Size.
func (k *Kernel) Bytes(string) (int64, error) { return k.Size, nil }

// Plug adds to Blocks.
func (k *Kernel) Plug(path string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.Blocks = append(k.Blocks, path)
}

// IsBlock looks into Blocks, and for the file.
func (k *Kernel) IsBlock(path string) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if slices.Contains(k.Blocks, path) {
		return true, nil
	}
	_, err := os.Stat(path)
	return false, err
}

// ReadOnly looks at the name.
func (k *Kernel) ReadOnly(device string) (bool, error) {
	if !strings.HasPrefix(device, "/dev/") {
		return false, unix.ENOTTY
	}
	return strings.HasPrefix(device, "/dev/vg/"), nil
}

// InMemory looks into Memory.
func (k *Kernel) InMemory(path string) (bool, error) {
	in := func(dir string) bool { return strings.HasPrefix(path, dir+"/") }
	return slices.ContainsFunc(k.Memory, in), nil
}

// Create notes the table.
func (k *Kernel) Create(name, uuid string, table []devmapper.Target, readOnly bool) (string, error) {
	if err := k.call("create %s %q %t%s", name, uuid, readOnly, rows(table)); err != nil {
		return "", err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.devices = append(k.devices, name)
	return "/dev/mapper/" + name, nil
}

// Replace notes the table.
func (k *Kernel) Replace(name string, table []devmapper.Target) error {
	return k.call("replace %s%s", name, rows(table))
}

func rows(table []devmapper.Target) string {
	var text string
	for _, t := range table {
		text += fmt.Sprintf(" [%d %d %s %s]", t.Start, t.Length, t.Type, t.Params)
	}
	return text
}

// Remove forgets the device.
func (k *Kernel) Remove(name string) error {
	if err := k.call("remove %s", name); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.devices = slices.DeleteFunc(k.devices, func(d string) bool { return d == name })
	return nil
}

// Names lists the devices that were created and not removed.
func (k *Kernel) Names() ([]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.devices), nil
}

// Path is where Create said.
func (k *Kernel) Path(name string) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !slices.Contains(k.devices, name) {
		return "", fs.ErrNotExist
	}
	return "/dev/mapper/" + name, nil
}

// MountMemory makes the directory.
func (k *Kernel) MountMemory(dir string, bytes int64) error {
	return errors.Join(k.call("mount %s %d", filepath.Base(dir), bytes), os.MkdirAll(dir, 0o700))
}

// Unmount removes it.
func (k *Kernel) Unmount(dir string) error {
	return errors.Join(k.call("unmount %s", filepath.Base(dir)), os.RemoveAll(dir))
}

// Used is what Use said.
func (k *Kernel) Used(string) (int64, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.used, nil
}

// Load is guestdisk.Config's.
func (k *Kernel) Load(_ context.Context, modules ...string) error {
	return k.call("load %s", strings.Join(modules, " "))
}
