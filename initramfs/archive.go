package initramfs

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"
)

// Archive collects the entries of one archive. It is written as cpio (newc, Documentation/driver-api/early-userspace/
// buffer-format.rst). The same entries give the same bytes: sorted by name, owned by root, dated
// 0, with inode numbers in order. Parent directories are added by themselves.
type Archive struct {
	records map[string]cpio.Record
	aligned map[string]bool // names of files whose contents begin at a multiple of contentAlignment
}

// NewArchive returns an empty Archive.
func NewArchive() *Archive {
	return &Archive{records: map[string]cpio.Record{}, aligned: map[string]bool{}}
}

// Dir adds a directory.
func (a *Archive) Dir(name string, perm fs.FileMode) {
	a.add(cpio.Directory(clean(name), uint64(perm.Perm())))
}

// Text adds a file with the given contents.
func (a *Archive) Text(name, contents string, perm fs.FileMode) {
	a.add(cpio.StaticFile(clean(name), contents, uint64(perm.Perm())))
}

// AlignedText adds a file whose contents begin at a multiple of 16 bytes of the cpio archive.
func (a *Archive) AlignedText(name, contents string, perm fs.FileMode) {
	a.Text(name, contents, perm)
	a.aligned[clean(name)] = true
}

// Link adds a symbolic link.
func (a *Archive) Link(name, target string) { a.add(cpio.Symlink(clean(name), target)) }

// CharDev adds a character device node.
func (a *Archive) CharDev(name string, perm fs.FileMode, major, minor uint64) {
	a.add(cpio.CharDev(clean(name), uint64(perm.Perm()), major, minor))
}

// File adds the host's file source as name. It is read when the archive is written.
func (a *Archive) File(name, source string, perm fs.FileMode) error {
	info, err := os.Stat(source)
	if err != nil {
		return fmt.Errorf("add %s: %w", name, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("add %s: %s is not a regular file", name, source)
	}
	a.Stream(name, info.Size(), func() (io.ReadCloser, error) { return os.Open(source) }, perm)
	return nil
}

// Stream adds a file of size bytes that open reads from its start.
func (a *Archive) Stream(name string, size int64, open func() (io.ReadCloser, error), perm fs.FileMode) {
	a.add(cpio.Record{
		ReaderAt: &stream{open: open},
		Info:     cpio.Info{Name: clean(name), Mode: cpio.S_IFREG | uint64(perm.Perm()), FileSize: uint64(size)},
	})
}

// Tree adds every file and directory below the host's directory source at name. Of their permissions only
// the owner's right to execute counts: the rest is the builder's umask.
func (a *Archive) Tree(name, source string) error {
	return fs.WalkDir(os.DirFS(source), ".", func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("add %s: %w", name, err)
		}
		if d.IsDir() {
			a.Dir(path.Join(name, at), 0o755)
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return fmt.Errorf("add %s: %w", name, err)
		}
		perm := fs.FileMode(0o644)
		if info.Mode()&0o100 != 0 {
			perm = 0o755
		}
		return a.File(path.Join(name, at), path.Join(source, at), perm)
	})
}

// WriteTar writes the archive to w as tar, for mksquashfs.
func (a *Archive) WriteTar(w io.Writer) error {
	out := tar.NewWriter(w)
	for _, name := range slices.Sorted(maps.Keys(a.records)) {
		if err := writeTar(out, a.records[name]); err != nil {
			return fmt.Errorf("write archive: %s: %w", name, err)
		}
	}
	return out.Close()
}

func writeTar(out *tar.Writer, r cpio.Record) (err error) {
	header := tar.Header{Name: r.Name, Mode: int64(r.Mode & 0o7777), Format: tar.FormatPAX}
	content := io.NewSectionReader(r.ReaderAt, 0, int64(r.FileSize))
	switch r.Mode & cpio.S_IFMT {
	case cpio.S_IFDIR:
		header.Typeflag, header.Name = tar.TypeDir, r.Name+"/"
		return out.WriteHeader(&header)
	case cpio.S_IFLNK:
		target, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		header.Typeflag, header.Linkname = tar.TypeSymlink, string(target)
		return out.WriteHeader(&header)
	case cpio.S_IFREG:
		header.Typeflag, header.Size = tar.TypeReg, int64(r.FileSize)
		if err := out.WriteHeader(&header); err != nil {
			return err
		}
		_, err := io.Copy(out, content)
		if closer, ok := r.ReaderAt.(io.Closer); ok {
			err = errors.Join(err, closer.Close())
		}
		return err
	}
	return fmt.Errorf("mode %o: an image takes files, directories and links only", r.Mode)
}

// Write writes the archive to w as cpio.
func (a *Archive) Write(w io.Writer) error {
	written := &counter{w: w}
	out := cpio.Newc.Writer(written)
	for i, name := range slices.Sorted(maps.Keys(a.records)) {
		record := a.records[name]
		if err := CheckSize(name, int64(record.FileSize)); err != nil {
			return err
		}
		record.Ino = uint64(i + 1)
		record.NLink = 1
		if a.aligned[name] {
			record.Name = alignContents(name, written.n)
		}
		if err := out.WriteRecord(record); err != nil {
			return fmt.Errorf("write archive: %s: %w", name, err)
		}
	}
	return cpio.WriteTrailer(out)
}

// Sizes in bytes.
const (
	contentAlignment = 16
	cpioHeader       = 110 // of an entry; its name is behind it, with a NUL
	cpioUnit         = 4   // header and name are padded to
)

// alignContents is the name for an entry that is written at the given offset and shall have its contents aligned:
// it ends with more than one NUL, which everyone who reads the archive passes over. iucode_tool does the same.
func alignContents(name string, offset int64) string {
	for {
		header := int64(cpioHeader + len(name) + 1)
		header += (cpioUnit - header%cpioUnit) % cpioUnit
		if (offset+header)%contentAlignment == 0 {
			return name
		}
		name += "\x00"
	}
}

// MaxSize is the size in bytes of the largest file in a cpio archive, whose header has 32 bits for it, and of
// the largest initrd: Multiboot2 gives the places of what it loads in as many.
const MaxSize = math.MaxUint32

// maxName is the length in bytes of the longest name that the kernel unpacks: init/initramfs.c skips what is longer
// than PATH_MAX, which counts the NUL.
const maxName = 4095

// CheckSize refuses a file that no cpio archive can hold.
func CheckSize(name string, size int64) error {
	if size > MaxSize {
		return fmt.Errorf("%s: has %d bytes, a file in an initrd at most %d", name, size, int64(MaxSize))
	}
	if len(name) > maxName {
		return fmt.Errorf("%s: the path has %d bytes, one in an initrd at most %d", name, len(name), maxName)
	}
	return nil
}

// add records an entry and the directories above it.
func (a *Archive) add(r cpio.Record) {
	for dir := path.Dir(r.Name); dir != "."; dir = path.Dir(dir) {
		if _, ok := a.records[dir]; !ok {
			a.records[dir] = cpio.Directory(dir, 0o755)
		}
	}
	a.records[r.Name] = r
}

// clean turns a path of the running system into the name in the archive.
func clean(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

// stream makes a ReaderAt of a source that is read in order. It is opened at its first read, so that
// an archive of thousands of files holds none open.
type stream struct {
	open   func() (io.ReadCloser, error)
	source io.ReadCloser
	at     int64
}

func (s *stream) ReadAt(p []byte, off int64) (int, error) {
	if s.source == nil || off != s.at {
		if err := s.seek(off); err != nil {
			return 0, err
		}
	}
	n, err := io.ReadFull(s.source, p)
	s.at += int64(n)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

func (s *stream) seek(off int64) error {
	if err := s.Close(); err != nil {
		return err
	}
	source, err := s.open()
	if err != nil {
		return err
	}
	s.source, s.at = source, off
	_, err = io.CopyN(io.Discard, source, off)
	return err
}

// Close lets the archive be written again.
func (s *stream) Close() error {
	if s.source == nil {
		return nil
	}
	defer func() { s.source = nil }()
	return s.source.Close()
}
