package loopdev

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// What Share compares: an image's head is looked for within the first part of a file, where an archive has its first
// member, and then all of it is read, in pieces of so many bytes.
const (
	headBytes   = 96 // the superblock of a squashfs, which has its sizes and its date
	searchBytes = 4 << 10
	pieceBytes  = 64 << 10
)

// Share looks for a file that has the image within it, byte by byte, and gives the loop device over the image that part
// in its place. Whoever has the device open, or a file system on it mounted, goes on, and the image may be removed. It
// returns the name of that file, "" for none. A loop device begins in its file where it always did (LOOP_CHANGE_FD,
// loop(4)), so that the part is a loop device of its own, below it.
func Share(image string, files []string) (string, error) {
	have, err := os.Open(image)
	if err != nil {
		return "", fmt.Errorf("share: %w", err)
	}
	defer have.Close()
	loop, err := over(have)
	if err != nil {
		return "", fmt.Errorf("share %s: %w", image, err)
	}
	defer loop.Close()
	for _, name := range files {
		found, err := shareWith(loop, have, name)
		if err != nil {
			return "", fmt.Errorf("share %s with %s: %w", image, name, err)
		}
		if found {
			return name, nil
		}
	}
	return "", nil
}

// over opens the loop device that has the whole of a file.
func over(file *os.File) (*os.File, error) {
	var want unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &want); err != nil {
		return nil, err
	}
	used, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return nil, err
	}
	for _, name := range used {
		loop, err := os.Open(filepath.Join("/dev", filepath.Base(filepath.Dir(filepath.Dir(name)))))
		if err != nil {
			continue // it has gone
		}
		info, err := unix.IoctlLoopGetStatus64(int(loop.Fd()))
		if err == nil && info.Device == want.Dev && info.Inode == want.Ino && info.Offset == 0 {
			return loop, nil
		}
		loop.Close()
	}
	return nil, errors.New("no loop device has it")
}

// shareWith gives loop, which has the file have, the part of the file name that is the same, and says whether there is
// one.
func shareWith(loop, have *os.File, name string) (bool, error) {
	file, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer file.Close()
	offset, size, err := part(have, file)
	if err != nil || offset < 0 {
		return false, err
	}
	below, err := OpenPart(file, uint64(offset), uint64(size))
	if err != nil {
		return false, err
	}
	defer below.Close() // until loop holds it
	return true, unix.IoctlSetInt(int(loop.Fd()), loopChangeFD, int(below.Fd()))
}

// part finds what is in have within file and returns where it begins, -1 for nowhere, and its size in bytes.
func part(have, file *os.File) (offset, size int64, err error) {
	head, start := make([]byte, headBytes), make([]byte, searchBytes)
	if _, err := have.ReadAt(head, 0); err != nil {
		return 0, 0, err
	}
	n, err := file.ReadAt(start, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, 0, err
	}
	if offset = int64(bytes.Index(start[:n], head)); offset < 0 {
		return -1, 0, nil
	}
	info, err := have.Stat()
	if err != nil {
		return 0, 0, err
	}
	same, err := equal(io.NewSectionReader(have, 0, info.Size()), io.NewSectionReader(file, offset, info.Size()))
	if err != nil || !same {
		return -1, 0, err
	}
	return offset, info.Size(), nil
}

// equal compares what two readers have.
func equal(a, b io.Reader) (bool, error) {
	left, right := make([]byte, pieceBytes), make([]byte, pieceBytes)
	for {
		n, errA := io.ReadFull(a, left)
		m, errB := io.ReadFull(b, right)
		if !bytes.Equal(left[:n], right[:m]) {
			return false, nil
		}
		for _, err := range []error{errA, errB} {
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return false, err
			}
		}
		if errA != nil || errB != nil {
			return true, nil
		}
	}
}
