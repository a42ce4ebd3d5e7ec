// Package diskimage reads the disk images that people have: raw, qcow2, VHD and VMDK. It never writes.
//
// An image may consist of several files: backing files, parents, extents. All of them are opened below one directory,
// and whatever a header says, no other file can be reached. Images are hostile: nothing is allocated or looped over
// because a header says so. A broken table spoils the part of the disk that it describes and no other.
//
// The tables of an image are read when they are needed, and the last ones are kept: 0.8 MB, whatever the size of the
// disk. Compressed clusters take 0.7 MB more, or up to three times their size if they have more than the usual 64
// KiB.
package diskimage

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// Kind says where the bytes of a Run are.
type Kind int

// The kinds of runs.
const (
	Data   Kind = iota // in a file as they are
	Zero               // nowhere: they are all zero
	Packed             // in a file, compressed; ReadAt unpacks them

	absent // only between layers: what the layer below has
)

// Run is a piece of a disk.
type Run struct {
	Kind   Kind
	Length int64 // bytes, at least 1

	// Of Data: the file and where in it the run begins, in bytes. All of the run is inside of the file as it was when
	// the image was opened. The file belongs to the Image and may be read from by any goroutine until Close, with
	// ReadAt.
	File   *os.File
	Offset int64
}

// layer is one image of a chain.
type layer interface {
	size() int64 // bytes of the disk
	// find says where the bytes of the disk from off on are, at most limit of them. off+limit is at most size().
	find(off, limit int64) (piece, error)
}

// piece is what a layer says of a part of the disk.
type piece struct {
	kind   Kind
	length int64

	file   *file // of Data: where it is
	offset int64

	packed packed // of Packed
}

// Image is an open disk image. Several goroutines may use it; one at a time looks something up or unpacks.
type Image struct {
	layers []layer // the image itself, then those that it is based on
	files  []*file

	mu       sync.Mutex // of what layers and unpacker keep in memory
	unpacker unpacker
}

// Open opens the image called name in dir, the guest's directory. The format is "raw", "qcow2", "vhd" or "vmdk". It
// is never guessed from the content: a guest that writes a qcow2 header to its raw disk could else choose the backing
// file.
func Open(dir *os.Root, name, format string) (*Image, error) {
	o := &opener{dir: dir, pages: new(pages)}
	layers, err := o.chain(name, format)
	if err != nil {
		o.close()
		return nil, err
	}
	return &Image{layers: layers, files: o.files}, nil
}

// Size returns the size of the disk in bytes. It need not be a multiple of a sector.
func (i *Image) Size() int64 { return i.layers[0].size() }

// Files returns the names of the files that the image consists of, below the directory that it was opened in. The first
// one is the image itself. A name may hold any character.
func (i *Image) Files() []string {
	names := make([]string, len(i.files))
	for n, f := range i.files {
		names[n] = f.name
	}
	return names
}

// Lookup says where the bytes of the disk from offset on are: a run of at most limit bytes. What follows it may be of
// the same kind. The error is io.EOF at the end of the disk. Any other error concerns only what is asked for and
// names the file, the place in it and what is wrong.
func (i *Image) Lookup(offset, limit int64) (Run, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	p, err := i.find(offset, limit)
	if err != nil || p.kind != Data {
		return Run{Kind: p.kind, Length: p.length}, err
	}
	return Run{Kind: Data, Length: p.length, File: p.file.File, Offset: p.offset}, nil
}

// find goes down the layers until one of them has the bytes from off on.
func (i *Image) find(off, limit int64) (piece, error) {
	if off < 0 || limit < 1 {
		return piece{}, fmt.Errorf("look up %d bytes at offset %d: not on any disk", limit, off)
	}
	if off >= i.Size() {
		return piece{}, io.EOF
	}
	limit = min(limit, i.Size()-off)
	for _, l := range i.layers {
		if off >= l.size() {
			break // beyond its end a backing file reads as zeros
		}
		p, err := l.find(off, min(limit, l.size()-off))
		switch {
		case err != nil:
			return piece{}, err
		case p.kind == Data:
			return p.inside()
		case p.kind != absent:
			return p, nil
		}
		limit = p.length
	}
	return piece{kind: Zero, length: limit}, nil
}

// inside returns the part of Data that is inside of its file.
func (p piece) inside() (piece, error) {
	if p.offset >= p.file.size {
		return piece{}, p.file.beyond("data", p.offset)
	}
	p.length = min(p.length, p.file.size-p.offset)
	return p, nil
}

// ReadAt reads len(p) bytes of the disk from off on, io.ReaderAt. Errors are those of Lookup, and those of reading.
func (i *Image) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := i.read(p[done:], off+int64(done))
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// read reads the first run of p.
func (i *Image) read(p []byte, off int64) (int, error) {
	found, err := i.fetch(p, off)
	if err != nil {
		return 0, err
	}
	p = p[:found.length]
	switch found.kind {
	case Zero:
		clear(p)
	case Data:
		return found.file.read(p, found.offset)
	}
	return len(p), nil
}

// fetch finds the first run of p and fills it if it is packed.
func (i *Image) fetch(p []byte, off int64) (piece, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	found, err := i.find(off, int64(len(p)))
	if err != nil || found.kind != Packed {
		return found, err
	}
	data, err := i.unpacker.get(found.packed, found.packed.skip+int(found.length))
	if err == nil {
		copy(p[:found.length], data[found.packed.skip:])
	}
	return found, err
}

// Close closes the files. Runs' files are of no use from then on.
func (i *Image) Close() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.unpacker.close()
	var errs []error
	for _, f := range i.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
