// Package devmapper makes block devices out of parts of others, by the kernel's device mapper (linux/dm-ioctl.h;
// Documentation/admin-guide/device-mapper).
package devmapper

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Module is the device mapper's kernel module.
const Module = "dm_mod"

// Target is a row of a device's table: a range of its sectors, of 512 bytes, and what they are.
type Target struct {
	Start, Length uint64
	Type          string // "linear", "snapshot", ...
	Params        string
}

// From linux/dm-ioctl.h: the version of the interface, the header's layout, its sizes and flags.
const (
	versionMajor = 4

	headerBytes = 312 // struct dm_ioctl, with the padding before the first target
	atSize      = 12
	atStart     = 16
	atTargets   = 20
	atFlags     = 28
	atDevice    = 40
	atName      = 48
	nameBytes   = 128
	atUUID      = atName + nameBytes
	uuidBytes   = 129

	specBytes = 40 // struct dm_target_spec
	typeBytes = 16

	flagReadOnly       = 1 << 0
	flagSuspend        = 1 << 1
	flagStatusTable    = 1 << 4
	flagBufferFull     = 1 << 8
	flagDeferredRemove = 1 << 17
)

// command is the number of an ioctl, _IOWR(0xfd, number, struct dm_ioctl).
type command uintptr

const (
	cmdListDevices command = 2
	cmdCreate      command = 3
	cmdRemove      command = 4
	cmdSuspend     command = 6 // and resume
	cmdStatus      command = 7
	cmdLoad        command = 9
	cmdTableStatus command = 12
)

func (c command) number() uintptr { return 3<<30 | headerBytes<<16 | 0xfd<<8 | uintptr(c) }

// Create makes a device and returns its path, /dev/dm-N. The name is at most 127 bytes long, the UUID 128.
func Create(name, uuid string, table []Target, readOnly bool) (device string, err error) {
	if len(name) == 0 || len(name) >= nameBytes || len(uuid) >= uuidBytes || strings.Contains(name, "/") {
		return "", fmt.Errorf("%q is no name of a mapped device", name)
	}
	made, err := call(cmdCreate, name, uuid, 0, nil)
	if err != nil {
		return "", fmt.Errorf("create mapped device %s: %w", name, err)
	}
	if err := load(name, table, flagsOf(readOnly)); err != nil {
		_, undone := call(cmdRemove, name, "", 0, nil)
		return "", errors.Join(err, undone)
	}
	return made.path(), nil
}

func flagsOf(readOnly bool) uint32 {
	if readOnly {
		return flagReadOnly
	}
	return 0
}

// path is the device's that the kernel has written about. Its minor number is in its name (drivers/md/dm.c).
func (b buffer) path() string { return "/dev/dm-" + strconv.Itoa(int(unix.Minor(b.u64(atDevice)))) }

// Path returns the path of a device by its name.
func Path(name string) (string, error) {
	b, err := call(cmdStatus, name, "", 0, nil)
	if err != nil {
		return "", fmt.Errorf("mapped device %s: %w", name, err)
	}
	return b.path(), nil
}

// load gives a device a table and lets requests through.
func load(name string, table []Target, flags uint32) error {
	if _, err := call(cmdLoad, name, "", flags, table); err != nil {
		return fmt.Errorf("table of mapped device %s: %w", name, err)
	}
	if _, err := call(cmdSuspend, name, "", flags, nil); err != nil {
		return fmt.Errorf("resume mapped device %s: %w", name, err)
	}
	return nil
}

// Replace gives a device another table, also while it is in use. Requests that come meanwhile wait.
func Replace(name string, table []Target, readOnly bool) error {
	if _, err := call(cmdSuspend, name, "", flagSuspend, nil); err != nil {
		return fmt.Errorf("suspend mapped device %s: %w", name, err)
	}
	err := load(name, table, flagsOf(readOnly))
	if err != nil {
		_, resumed := call(cmdSuspend, name, "", 0, nil)
		err = errors.Join(err, resumed)
	}
	return err
}

// Suspend lets what a device is about to write be written, and has it take no more requests until Resume: they wait.
func Suspend(name string) error {
	if _, err := call(cmdSuspend, name, "", flagSuspend, nil); err != nil {
		return fmt.Errorf("suspend mapped device %s: %w", name, err)
	}
	return nil
}

// Resume ends what Suspend has begun. That it has ended already is no error.
func Resume(name string) error {
	if _, err := call(cmdSuspend, name, "", 0, nil); err != nil {
		return fmt.Errorf("resume mapped device %s: %w", name, err)
	}
	return nil
}

// Table returns a device's table. In it devices are called by their numbers, "7:3".
func Table(name string) ([]Target, error) { return tableStatus(name, flagStatusTable) }

// Status returns a device's table with what each target says of its state in place of Params. What that is is in
// Documentation/admin-guide/device-mapper.
func Status(name string) ([]Target, error) { return tableStatus(name, 0) }

func tableStatus(name string, flags uint32) ([]Target, error) {
	for size := 16 << 10; ; size *= 2 {
		b, err := send(cmdTableStatus, newBuffer(name, "", flags, size))
		if err != nil {
			return nil, fmt.Errorf("table of mapped device %s: %w", name, err)
		}
		if b.u32(atFlags)&flagBufferFull == 0 {
			return targets(b)
		}
	}
}

// targets reads a list of struct dm_target_spec with their parameters.
func targets(b buffer) ([]Target, error) {
	nonsense := errors.New("table of a mapped device: the kernel's answer makes no sense")
	if len(b) < headerBytes || int64(b.u32(atStart)) > int64(len(b)) {
		return nil, nonsense
	}
	count := b.u32(atTargets)
	data := b[b.u32(atStart):]
	var table []Target
	for at := uint32(0); count > 0; count-- {
		if int64(at)+specBytes > int64(len(data)) {
			return nil, nonsense
		}
		spec := data[at:]
		kind, _, _ := strings.Cut(string(spec[24:24+typeBytes]), "\x00")
		params, _, _ := strings.Cut(string(spec[specBytes:]), "\x00")
		table = append(table, Target{Start: spec.u64(0), Length: spec.u64(8), Type: kind, Params: params})
		next := spec.u32(20) // from the first one's beginning
		if count > 1 && next <= at {
			return nil, nonsense
		}
		at = next
	}
	return table, nil
}

// Remove removes a device, as soon as nobody has it open. That it has gone already is no error.
func Remove(name string) error { return remove(name, flagDeferredRemove) }

// RemoveIdle removes a device unless somebody has it open: the error is EBUSY then.
func RemoveIdle(name string) error { return remove(name, 0) }

func remove(name string, flags uint32) error {
	_, err := call(cmdRemove, name, "", flags, nil)
	if err != nil && !errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("remove mapped device %s: %w", name, err)
	}
	return nil
}

// Names lists the devices.
func Names() ([]string, error) {
	for size := 16 << 10; ; size *= 2 {
		b, err := send(cmdListDevices, newBuffer("", "", 0, size))
		if err != nil {
			return nil, fmt.Errorf("list mapped devices: %w", err)
		}
		if b.u32(atFlags)&flagBufferFull == 0 {
			return names(b[min(int(b.u32(atStart)), len(b)):])
		}
	}
}

// names reads a list of struct dm_name_list: device, offset of the next, name.
func names(b buffer) ([]string, error) {
	const atNext, atName = 8, 12
	var found []string
	for len(b) > atName && b.u64(0) != 0 {
		name, _, terminated := strings.Cut(string(b[atName:min(len(b), atName+nameBytes)]), "\x00")
		next := int(b.u32(atNext))
		if !terminated || next < 0 || next > len(b) {
			return nil, errors.New("list mapped devices: the kernel's answer makes no sense")
		}
		found = append(found, name)
		if next == 0 {
			break
		}
		b = b[next:]
	}
	return found, nil
}

// buffer is a header with what follows it.
type buffer []byte

func (b buffer) u32(at int) uint32      { return binary.NativeEndian.Uint32(b[at:]) }
func (b buffer) u64(at int) uint64      { return binary.NativeEndian.Uint64(b[at:]) }
func (b buffer) put32(at int, n uint32) { binary.NativeEndian.PutUint32(b[at:], n) }
func (b buffer) put64(at int, n uint64) { binary.NativeEndian.PutUint64(b[at:], n) }

func newBuffer(name, uuid string, flags uint32, size int) buffer {
	b := make(buffer, size)
	b.put32(0, versionMajor)
	b.put32(atSize, uint32(size))
	b.put32(atStart, headerBytes)
	b.put32(atFlags, flags)
	copy(b[atName:], name)
	copy(b[atUUID:], uuid)
	return b
}

// withTable appends targets: each a struct dm_target_spec and its parameters, to a multiple of 8 bytes.
func (b buffer) withTable(table []Target) buffer {
	for _, t := range table {
		spec := make(buffer, specBytes)
		spec.put64(0, t.Start)
		spec.put64(8, t.Length)
		copy(spec[24:24+typeBytes-1], t.Type)
		size := (specBytes + len(t.Params) + 1 + 7) &^ 7
		spec.put32(20, uint32(size)) // where the next one begins
		row := make([]byte, size)
		copy(row, spec)
		copy(row[specBytes:], t.Params)
		b = append(b, row...)
	}
	b.put32(atTargets, uint32(len(table)))
	b.put32(atSize, uint32(len(b)))
	return b
}

func call(c command, name, uuid string, flags uint32, table []Target) (buffer, error) {
	return send(c, newBuffer(name, uuid, flags, headerBytes).withTable(table))
}

func send(c command, b buffer) (buffer, error) {
	control, err := os.OpenFile("/dev/mapper/control", os.O_RDWR, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w (is the module %s loaded?)", err, Module)
		}
		return nil, err
	}
	defer control.Close()
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, control.Fd(), c.number(), uintptr(unsafe.Pointer(&b[0])))
	if errno != 0 {
		return nil, errno
	}
	return b, nil
}
