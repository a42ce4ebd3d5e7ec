package diskimage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// file is an open file of an image.
type file struct {
	*os.File
	name   string // below the guest's directory; for messages there is String
	size   int64  // bytes, when it was opened
	number int    // among the image's files
}

// String returns the file's name, printable.
func (f *file) String() string { return printable.Line(f.name) }

// errorf makes an error that begins with the file's name.
func (f *file) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %w", f, fmt.Errorf(format, args...))
}

// beyond is the error for a table or data that the file ends before.
func (f *file) beyond(what string, offset int64) error {
	return f.errorf("%s at offset %d is beyond the end of the file, which has %d bytes: "+
		"the image is damaged or not all of it was copied", what, offset, f.size)
}

// read reads len(p) bytes at offset off.
func (f *file) read(p []byte, off int64) (int, error) {
	n, err := f.ReadAt(p, off)
	switch {
	case n == len(p):
		return n, nil
	case errors.Is(err, io.EOF):
		return n, f.beyond("data", off+int64(n))
	}
	return n, f.errorf("read %d bytes at offset %d: %w", len(p), off, reason(err))
}

// head reads the first bytes of the file, at most size: it may be shorter.
func (f *file) head(size int64) ([]byte, error) {
	b := make([]byte, min(size, f.size))
	_, err := f.read(b, 0)
	return b, err
}

// sibling returns the name of a file that an image names relative to its own directory. It is not cleaned: what ".."
// means depends on symbolic links.
func (f *file) sibling(name string) string {
	if dir := path.Dir(f.name); dir != "." {
		return dir + "/" + name
	}
	return name
}

// reason strips an error of the file's name, which is not printable, and of the system call.
func reason(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// baseName returns the last element of a path, of Windows too.
func baseName(name string) string {
	return path.Base(strings.ReplaceAll(name, `\`, "/"))
}
