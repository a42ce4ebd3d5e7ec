package iso9660

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// Content is the bytes of a file. Files that share one Content share one extent on the disc.
type Content struct {
	Size int64 // bytes
	// Open is called once by the writer, when it reaches the extent; for a Slice not at all.
	Open func() (io.ReadCloser, error)
	// Patch, when not nil, changes the content to fit the place it got: data is the whole
	// content, lba where it starts. Only for small contents, since it holds them in memory.
	Patch func(data []byte, lba uint32) error

	whole  *Content // not nil: these are bytes of whole,
	offset int64    // from this one on
}

// Slice returns size bytes of c, from the byte offset on, as a Content that needs no room of its
// own: its extent lies in that of c, which has to be part of the same image. offset is a multiple
// of SectorSize.
func (c *Content) Slice(offset, size int64) *Content {
	if c.whole != nil {
		return c.whole.Slice(c.offset+offset, size)
	}
	open := func() (io.ReadCloser, error) {
		source, err := c.Open()
		if err != nil {
			return nil, err
		}
		if err := skip(source, offset); err != nil {
			return nil, errors.Join(err, source.Close())
		}
		return part{io.LimitReader(source, size), source}, nil
	}
	return &Content{Size: size, Open: open, whole: c, offset: offset}
}

// Tail returns the end of c, from the byte offset on, as Slice does.
func (c *Content) Tail(offset int64) *Content { return c.Slice(offset, c.Size-offset) }

// IsTail says whether c lies in another content, as a Slice or a Tail of it.
func (c *Content) IsTail() bool { return c.whole != nil }

// part is the beginning of a source.
type part struct {
	io.Reader
	io.Closer
}

// skip moves source, which is at its start, forward by n bytes.
func skip(source io.Reader, n int64) error {
	if seeker, ok := source.(io.Seeker); ok {
		_, err := seeker.Seek(n, io.SeekStart)
		return err
	}
	_, err := io.CopyN(io.Discard, source, n)
	return err
}

// Bytes makes a Content of data.
func Bytes(data []byte) *Content {
	return &Content{
		Size: int64(len(data)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
	}
}

var errNotRegular = errors.New("not a regular file: only files and directories fit on the disc")

// FromFile makes a Content of a file of this machine, which stays closed until it is written. A
// symbolic link is followed; what is no regular file is an error that names it.
func FromFile(name string) (*Content, fs.FileInfo, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: %w", printable.Line(name), errNotRegular)
	}
	return &Content{Size: info.Size(), Open: func() (io.ReadCloser, error) { return os.Open(name) }}, info, nil
}
