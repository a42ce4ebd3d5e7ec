// Package boundedlog keeps logs from filling the memory of a machine that has no other disk: the ones that this
// program writes (File), and those of other programs (Directory). The newest lines are what stays.
package boundedlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// File is a log of limited size. A write that would make it larger than its limit drops the older half first. It
// never fails: what has no room, or no file, is counted, and the next write that succeeds says so in a line.
type File struct {
	name  string
	limit int64

	mu   sync.Mutex
	file *os.File // nil while it cannot be opened
	size int64
	lost int // writes
	why  error
}

// Open returns the log in the file name, which is appended to, of at most limit bytes.
func Open(name string, limit int64) *File { return &File{name: name, limit: limit} }

// Write appends p, one or more whole lines.
func (l *File) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := p
	if l.lost > 0 {
		text = append(fmt.Appendf(nil, "level=WARN msg=\"lines lost\" lines=%d err=%q\n", l.lost, l.why), p...)
	}
	if err := l.append(text); err != nil {
		l.lost++
		l.why = errors.Unwrap(err)
		return len(p), nil
	}
	l.lost = 0
	return len(p), nil
}

func (l *File) append(text []byte) error {
	if err := l.open(); err != nil {
		return err
	}
	if l.size+int64(len(text)) > l.limit {
		size, err := shrink(l.file, l.limit/2)
		if err != nil {
			return err
		}
		l.size = size
	}
	n, err := l.file.Write(text)
	if err != nil && n > 0 {
		_ = l.file.Truncate(l.size) // no half line
	}
	if err == nil {
		l.size += int64(n)
	}
	return err
}

func (l *File) open() error {
	if l.file != nil {
		return nil
	}
	file, err := os.OpenFile(l.name, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	l.file, l.size = file, info.Size()
	return nil
}

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
