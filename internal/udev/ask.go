package udev

import (
	"errors"
	"io"
	"path"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/blkid"
	"github.com/zerodisc/zerodisc/internal/disks"
)

// hdioGetIdentity is HDIO_GET_IDENTITY of linux/hdreg.h.
const hdioGetIdentity = 0x030d

// discPatience is how long a drive may read a disc in, and how often it is asked.
const discPatience, discPause = time.Minute, 500 * time.Millisecond

// Ask asks the block device in a node: what ATA knows of it, and what it holds. Nothing is written, and a drive's tray
// stays as it is. A drive that is reading a disc in is slow.
func Ask(node string, slow func()) Answer {
	fd, err := unix.Open(node, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return Answer{Err: err}
	}
	defer unix.Close(fd)
	var a Answer
	base := path.Base(node)
	optical := strings.HasPrefix(base, "sr")
	if optical || strings.HasPrefix(base, "sd") {
		a.Identity = identify(fd)
	}
	if optical {
		if a.Medium = waitForDisc(fd, slow); !a.Medium {
			return a
		}
	}
	size, err := unix.Seek(fd, 0, io.SeekEnd)
	if err != nil || size == 0 {
		a.Err = err
		return a
	}
	sector, err := unix.IoctlGetInt(fd, unix.BLKSSZGET)
	if err != nil {
		sector = 512
	}
	a.Content, a.Err = blkid.Identify(blkid.Device{
		ReaderAt: descriptor(fd), Size: size, Sector: int64(sector), Optical: optical,
	})
	return a
}

// identify reads what the kernel knows of an ATA device, nil for others. It does not ask the device.
func identify(fd int) []byte {
	id := make([]byte, ataIdentity)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), hdioGetIdentity, uintptr(unsafe.Pointer(&id[0])))
	if errno != 0 {
		return nil
	}
	return id
}

// waitForDisc says whether there is a disc in a drive that can be read. A drive that is reading one in is waited for.
func waitForDisc(fd int, slow func()) bool {
	for end := time.Now().Add(discPatience); ; time.Sleep(discPause) {
		disc := disks.DiscIn(uintptr(fd))
		if disc != disks.NotReady || time.Now().After(end) {
			return disc == disks.HasDisc
		}
		slow()
	}
}

// descriptor reads from a file descriptor.
type descriptor int

func (d descriptor) ReadAt(p []byte, at int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := unix.Pread(int(d), p[done:], at+int64(done))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return done, err
		case n == 0:
			return done, io.EOF
		}
		done += n
	}
	return done, nil
}
