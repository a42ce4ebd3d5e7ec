// Package ublk makes block devices that a program serves: the kernel's ublk driver
// (Documentation/block/ublk.rst) hands the requests of /dev/ublkbN to the program through io_uring.
package ublk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/iouring"
)

// Module is the driver's kernel module.
const Module = "ublk_drv"

// Bytes of a block device's sector, and of the least that a device transfers.
const sectorBytes = 512

// A queue's depth and the most bytes of one request: what Xen's block backend has under way at a time, without
// buffers that a small host would miss.
const (
	queueDepth = 32
	maxIOBytes = 64 << 10
)

// Config is what a device is like.
type Config struct {
	Bytes    int64 // a multiple of 512
	ReadOnly bool
	// Block is the size in which the disk is best written, bytes, a power of two.
	Block int
	// Discards says that the disk takes back blocks that are not needed any more, and writes zeroes without data.
	Discards bool
}

// Disk is what is behind a device. One thread calls it. An error is an I/O error to whoever uses the device; one that
// wraps a unix.Errno is passed on as that.
type Disk interface {
	ReadAt(p []byte, offset int64) (int, error)
	WriteAt(p []byte, offset int64) (int, error)
	// Zero makes n bytes zeros, and frees what they took.
	Zero(offset, n int64) error
}

// Device is a block device.
type Device struct {
	id      uint32
	config  Config
	disk    Disk
	control *control
	served  chan error // how serving has ended
}

// ID is the device's number.
func (d *Device) ID() int { return int(d.id) }

// Serve makes a device of disk. It goes on until Close, or until the program ends: whoever uses the device then waits
// until Recover.
func Serve(config Config, disk Disk) (*Device, error) {
	return serve(config, disk, func(d *Device) error {
		info := d.info(newID)
		if err := d.control.command(cmdAddDev, newID, bytesOf(&info)); err != nil {
			return fmt.Errorf("add: %w", err)
		}
		d.id = info.devID
		p := config.params()
		if err := d.control.command(cmdSetParams, d.id, bytesOf(&p)); err != nil {
			return errors.Join(fmt.Errorf("set parameters: %w", err), d.delete())
		}
		return nil
	}, cmdStartDev)
}

// Recover goes on with a device whose program has ended.
func Recover(id int, config Config, disk Disk) (*Device, error) {
	return serve(config, disk, func(d *Device) error {
		d.id = uint32(id)
		return d.retry(cmdStartUserRecovery)
	}, cmdEndUserRecovery)
}

func serve(config Config, disk Disk, prepare func(*Device) error, start uint32) (*Device, error) {
	control, err := openControl()
	if err != nil {
		return nil, err
	}
	d := &Device{config: config, disk: disk, control: control, served: make(chan error, 1)}
	if err := prepare(d); err != nil {
		return nil, errors.Join(fmt.Errorf("block device: %w", err), control.Close())
	}
	ready := make(chan error, 1)
	go func() { d.served <- d.serveQueue(ready) }()
	if err = <-ready; err == nil {
		err = d.control.commandData(start, d.id, nil, uint64(os.Getpid()))
	}
	switch {
	case err == nil:
		return d, nil
	case start == cmdStartDev:
		err = errors.Join(err, d.Close())
	default: // the next one may do better: those who have it open wait for that
		err = errors.Join(err, control.Close())
	}
	return nil, fmt.Errorf("start block device %d: %w", d.id, err)
}

// info is what the kernel is told when a device is made.
func (d *Device) info(id uint32) devInfo {
	return devInfo{
		queues: 1, depth: queueDepth, maxIOBytes: maxIOBytes, devID: id, pid: int32(os.Getpid()),
		flags: flagUserRecovery | flagUserRecoveryReissue | flagCmdIoctlEncode,
	}
}

func (c Config) params() params {
	p := params{
		kinds: paramBasic, logicalShift: 9, physicalShift: shift(c.Block), minShift: shift(c.Block),
		optShift: shift(c.Block), maxSectors: maxIOBytes / sectorBytes, sectors: uint64(c.Bytes / sectorBytes),
	}
	if c.ReadOnly {
		p.attributes |= attrReadOnly
	}
	if c.Discards {
		const most = 1 << 30 / sectorBytes
		p.kinds |= paramDiscard
		p.discardGranularity, p.maxDiscardSegments = uint32(c.Block), 1
		p.maxDiscardSectors, p.maxWriteZeroesSectors = most, most
	}
	p.length = uint32(unsafe.Sizeof(p))
	return p
}

// shift is the logarithm of a power of two.
func shift(n int) uint8 {
	var s uint8
	for ; n > 1; n >>= 1 {
		s++
	}
	return s
}

// retry gives the kernel a moment: it notices the end of a program a little later.
func (d *Device) retry(op uint32) error {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		err := d.control.command(op, d.id, nil)
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return err
		}
	}
}

// Close takes the device away. Whoever has it open gets I/O errors.
func (d *Device) Close() error {
	stop := d.control.command(cmdStopDev, d.id, nil)
	if stop != nil {
		stop = fmt.Errorf("stop block device %d: %w", d.id, stop)
	}
	return errors.Join(stop, <-d.served, d.delete(), d.control.Close())
}

// Delete takes away the device of a program that has ended. Whoever has it open gets I/O errors.
func Delete(id int) error {
	control, err := openControl()
	if err != nil {
		return err
	}
	return errors.Join(
		control.command(cmdStopDev, uint32(id), nil), control.command(cmdDelDevAsync, uint32(id), nil), control.Close())
}

func (d *Device) delete() error {
	if err := d.control.command(cmdDelDev, d.id, nil); err != nil {
		return fmt.Errorf("delete block device %d: %w", d.id, err)
	}
	return nil
}

// Ended gets how serving has ended. Close takes its value too: whoever has received one does not call Close.
func (d *Device) Ended() <-chan error { return d.served }

// control sends control commands, one at a time.
type control struct {
	file *os.File
	ring *iouring.Ring
}

func openControl() (*control, error) {
	file, err := os.OpenFile("/dev/ublk-control", os.O_RDWR, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w (is the module %s loaded?)", err, Module)
		}
		return nil, fmt.Errorf("block device: %w", err)
	}
	ring, err := iouring.New(4, true)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &control{file, ring}, nil
}

func (c *control) Close() error { return errors.Join(c.ring.Close(), c.file.Close()) }

// command sends a command about the device id. The kernel reads buffer, or writes it.
func (c *control) command(op uint32, id uint32, buffer []byte) error {
	return c.commandData(op, id, buffer, 0)
}

func (c *control) commandData(op uint32, id uint32, buffer []byte, data uint64) error {
	cmd := ctrlCmd{devID: id, queueID: ^uint16(0), data: data, length: uint16(len(buffer))}
	if len(buffer) > 0 {
		cmd.addr = uint64(uintptr(unsafe.Pointer(&buffer[0])))
	}
	copy(c.ring.Command(int(c.file.Fd()), op, 0), bytesOf(&cmd))
	if err := c.ring.Submit(1); err != nil {
		return err
	}
	_, result, _ := c.ring.Next()
	keepAlive(buffer)
	if result < 0 {
		return unix.Errno(-result)
	}
	return nil
}

// bytesOf is v as the kernel sees it.
func bytesOf[T any](v *T) []byte { return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v)) }
