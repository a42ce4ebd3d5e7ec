// Package boundedlog keeps the logs of other programs from filling the memory of a machine that has no other disk
// (Directory). The newest lines are what stays.
package boundedlog

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// dropped stands where older lines were.
const dropped = "(older lines were dropped)\n"

// shrink keeps the last lines of a file that is open for appending, keep bytes at most, and returns its new size. It
// works in place, because the programs that write to the file have it open, and needs no room of its own: there may
// be none. What is appended between the read and the cut is lost.
func shrink(file *os.File, keep int64) (int64, error) {
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	tail := make([]byte, min(info.Size(), keep))
	n, err := file.ReadAt(tail, info.Size()-int64(len(tail)))
	if err != nil && !errors.Is(err, io.EOF) {
		return info.Size(), err
	}
	tail = tail[:n]
	if info.Size() > keep {
		_, tail, _ = bytes.Cut(tail, []byte{'\n'}) // from the beginning of a line
	}
	if err := file.Truncate(0); err != nil {
		return info.Size(), err
	}
	written, err := file.Write(append([]byte(dropped), tail...))
	return int64(written), err
}

// openRegular opens a file of another program's for appending. A link might lead anywhere.
func openRegular(name string) (*os.File, error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_APPEND|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, file.Close(), fs.ErrInvalid)
	}
	return file, nil
}
