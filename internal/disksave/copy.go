package disksave

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/devmapper"
	"github.com/zerodisc/zerodisc/internal/diskimage"
	"github.com/zerodisc/zerodisc/internal/dmsnap"
	"github.com/zerodisc/zerodisc/internal/guestdisk"
	"github.com/zerodisc/zerodisc/internal/host"
)

// Kernel is what is done to dom0's kernel.
type Kernel interface {
	// Table returns the table of a device of the device mapper, and Path where it is.
	Table(name string) ([]devmapper.Target, error)
	Path(name string) (device string, err error)
	// ByNumber returns the path of a block device by its number, "7:3".
	ByNumber(number string) (device string, err error)
	// Open opens a file, or a block device past the kernel's cache: that of a device below another one may be older
	// than what is written there.
	Open(device string) (Source, error)
}

// Source is an open block device or file. Offsets and lengths of what is read are multiples of 4 KiB, but at its end.
type Source interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

const (
	bufferBytes = 1 << 20
	blockBytes  = 4 << 10 // the smallest hole
)

// buffer is memory that may be read to past the kernel's cache, which wants whole pages.
func buffer() ([]byte, func()) {
	b, err := unix.Mmap(-1, 0, bufferBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return make([]byte, bufferBytes), func() {}
	}
	return b, func() { _ = unix.Munmap(b) }
}

// copyFile copies a file with its holes, or gives one that is kept already another name.
func (t *tool) copyFile(ctx context.Context, f guests.KeptFile) error {
	if err := os.MkdirAll(filepath.Dir(f.To), 0o755); err != nil {
		return err
	}
	if t.isKept(f.From) {
		return os.Link(f.From, f.To)
	}
	source, err := t.Kernel.Open(f.From)
	if err != nil {
		return err
	}
	defer source.Close()
	file, err := os.OpenFile(f.To, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := t.copyAll(ctx, "copying "+filepath.Base(f.To), file, source); err != nil {
		return err
	}
	return file.Sync()
}

// copyAll copies a source to a new file. What is zero becomes a hole.
func (t *tool) copyAll(ctx context.Context, what string, to *os.File, from Source) error {
	size := from.Size()
	if err := to.Truncate(size); err != nil {
		return err
	}
	b, free := buffer()
	defer free()
	for at := int64(0); at < size; {
		if err := ctx.Err(); err != nil {
			return errors.New("interrupted; nothing was saved")
		}
		n, err := from.ReadAt(b[:min(bufferBytes, size-at)], at)
		if n == 0 && err != nil {
			return fmt.Errorf("read at %d: %w", at, err)
		}
		if err := writeBlocks(to, b[:n], at); err != nil {
			return err
		}
		at += int64(n)
		t.progress.Bytes(what, at, size)
	}
	return nil
}

// writeBlocks writes data but for blocks of zeros.
func writeBlocks(to io.WriterAt, data []byte, at int64) error {
	for len(data) > 0 {
		n := run(data)
		if !isZero(data[:min(blockBytes, n)]) {
			if _, err := to.WriteAt(data[:n], at); err != nil {
				return err
			}
		}
		data, at = data[n:], at+int64(n)
	}
	return nil
}

// run is the length of the blocks at the beginning of data that are all zero, or all not.
func run(data []byte) int {
	n := min(blockBytes, len(data))
	zero := isZero(data[:n])
	for n < len(data) && isZero(data[n:min(n+blockBytes, len(data))]) == zero {
		n = min(n+blockBytes, len(data))
	}
	return n
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// copyBase copies what a disk was made of, while the guest runs. What the guest writes to itself comes later.
func (t *tool) copyBase(ctx context.Context, g *host.Guest, i *image) (err error) {
	if i.file, err = os.OpenFile(i.to, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644); err != nil {
		return err
	}
	if isDirect(i.disk) {
		return nil
	}
	device := i.disk.Device
	switch {
	case i.disk.CopyOnWrite:
		if device, err = t.origin(g.UUID, i.disk.Vdev); err != nil {
			return err
		}
	case device == "":
		device = i.disk.Target
	}
	source, err := t.Kernel.Open(device)
	if err != nil {
		return err
	}
	defer source.Close()
	return t.copyAll(ctx, "copying "+i.disk.Vdev, i.file, source)
}

// isDirect says whether the guest writes to the disk's target itself.
func isDirect(d host.Disk) bool { return d.Writable && !d.CopyOnWrite }

// origin returns the device that a disk with copy-on-write reads from.
func (t *tool) origin(uuid, vdev string) (string, error) {
	name := guestdisk.CopyOnWriteName(uuid, vdev)
	table, err := t.Kernel.Table(name)
	if err != nil {
		return "", err
	}
	var number string
	if len(table) == 1 && table[0].Type == "snapshot" {
		_, _ = fmt.Sscan(table[0].Params, &number)
	}
	if number == "" {
		return "", fmt.Errorf("%s is no snapshot", name)
	}
	return t.Kernel.ByNumber(number)
}

// baseBytes is how much room the base of a disk takes at most.
func (t *tool) baseBytes(d host.Disk) (int64, error) {
	if !isFile(d.Target) {
		source, err := t.Kernel.Open(d.Target)
		if err != nil {
			return 0, err
		}
		defer source.Close()
		return source.Size(), nil
	}
	if d.Format == "raw" {
		return allocated(d.Target)
	}
	root, err := os.OpenRoot(filepath.Dir(d.Target))
	if err != nil {
		return 0, err
	}
	defer root.Close()
	opened, err := diskimage.Open(root, filepath.Base(d.Target), d.Format)
	if err != nil {
		return 0, err
	}
	defer opened.Close()
	return unpackedBytes(opened)
}

// unpackedBytes is how much room what is not zero in an image takes when it is raw.
func unpackedBytes(opened *diskimage.Image) (sum int64, err error) {
	for at := int64(0); at < opened.Size(); {
		found, err := opened.Lookup(at, opened.Size()-at)
		if err != nil {
			return 0, err
		}
		if found.Kind != diskimage.Zero {
			sum += found.Length
		}
		at += found.Length
	}
	return sum, nil
}

// Frozen is what stands still while the last of a copy is made.
type Frozen struct {
	Gates []string // devices of the device mapper
	Domid int      // of a domain that is paused; 0 for none
}

// maxFrozen is how long a guest may have to wait. Linux says after 120 s that a program hangs.
const maxFrozen = 100 * time.Second

var errSlow = fmt.Errorf("what has changed could not be copied within %v, and the guest was not to wait longer; "+
	"nothing was saved", maxFrozen)

// copyChanges copies what the guest has written, while it writes no more.
func (t *tool) copyChanges(ctx context.Context, j *job) (err error) {
	var f Frozen
	for _, i := range j.images {
		if i.disk.CopyOnWrite {
			f.Gates = append(f.Gates, guestdisk.GateName(j.guest.UUID, i.disk.Vdev))
		} else if isDirect(i.disk) {
			f.Domid = j.guest.Domid
		}
	}
	if len(f.Gates) == 0 && f.Domid == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return errors.New("interrupted; nothing was saved")
	}
	thaw, err := t.Freeze(f)
	if err != nil {
		return err
	}
	began := time.Now()
	defer func() {
		err = errors.Join(err, thaw())
		j.waited = time.Since(began)
	}()
	late := began.Add(maxFrozen)
	if f.Domid != 0 { // a domain that is paused does not notice how long it was
		late = late.Add(time.Hour)
	}
	for _, i := range j.images {
		switch {
		case i.disk.CopyOnWrite:
			err = t.copyChunks(j.guest.UUID, i, late)
		case isDirect(i.disk):
			err = t.copyDirect(ctx, i)
		}
		if err != nil {
			return fmt.Errorf("disk %s: %w", i.disk.Vdev, err)
		}
	}
	if time.Now().After(late) {
		return errSlow
	}
	return nil
}

// copyDirect copies a disk that the guest writes to itself, which can only be done while its domain is paused.
func (t *tool) copyDirect(ctx context.Context, i image) error {
	source, err := t.Kernel.Open(i.disk.Target)
	if err != nil {
		return err
	}
	defer source.Close()
	return t.copyAll(ctx, "copying "+i.disk.Vdev+" (the guest is paused)", i.file, source)
}

// copyChunks copies the parts of a disk that have changed.
func (t *tool) copyChunks(uuid string, i image, late time.Time) error {
	device, err := t.Kernel.Path(guestdisk.CopyOnWriteName(uuid, i.disk.Vdev))
	if err != nil {
		return err
	}
	source, err := t.Kernel.Open(device)
	if err != nil {
		return err
	}
	defer source.Close()
	store, err := os.Open(filepath.Join(t.Disks, guestdisk.StoreFile(uuid, i.disk.Vdev)))
	if err != nil {
		return err
	}
	defer store.Close()
	info, err := store.Stat()
	if err != nil {
		return err
	}
	changes, err := dmsnap.Read(store, info.Size(), source.Size())
	if err != nil {
		return err
	}
	return t.copyRuns(i, source, changes, late)
}

// copyRuns copies chunks, those that follow one another in one go.
func (t *tool) copyRuns(i image, source Source, changes dmsnap.Changes, late time.Time) error {
	b, free := buffer()
	defer free()
	chunks := changes.Chunks
	for len(chunks) > 0 {
		if time.Now().After(late) {
			return errSlow
		}
		n := 1
		for n < len(chunks) && chunks[n] == chunks[0]+int64(n) && int64(n+1)*changes.ChunkBytes <= bufferBytes {
			n++
		}
		at := chunks[0] * changes.ChunkBytes
		length := min(int64(n)*changes.ChunkBytes, source.Size()-at)
		if read, err := source.ReadAt(b[:length], at); int64(read) < length {
			return fmt.Errorf("read at %d: %w", at, err)
		}
		if err := overwrite(i.file, b[:length], at); err != nil {
			return err
		}
		chunks = chunks[n:]
		t.progress.Bytes("copying what has changed on "+i.disk.Vdev, int64(len(changes.Chunks)-len(chunks)),
			int64(len(changes.Chunks)))
	}
	return nil
}

// overwrite writes data where something else may be. Blocks of zeros become holes.
func overwrite(file *os.File, data []byte, at int64) error {
	for len(data) > 0 {
		n := run(data)
		hole := isZero(data[:min(blockBytes, n)])
		const punch = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
		if hole && unix.Fallocate(int(file.Fd()), punch, at, int64(n)) != nil {
			hole = false // the file system has no holes
		}
		if !hole {
			if _, err := file.WriteAt(data[:n], at); err != nil {
				return err
			}
		}
		data, at = data[n:], at+int64(n)
	}
	return nil
}
