package iso9660

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"slices"
)

// FileSum is the sum of a file as it is on the disc, or why it could not be read.
type FileSum struct {
	Sum
	Err error
}

// Sums reads the whole disc once, from its first sector to its last, and returns the sum of every
// regular file, sorted by path, and the sum that Image.Structure has, under an empty path. What cannot
// be read spoils the sums that it belongs to and no others. progress, when not nil, is told the bytes
// read so far and in all. The only error is that of a context that ended.
func (d *Disc) Sums(ctx context.Context, progress func(read, total int64)) (
	files []FileSum, structure FileSum, err error,
) {
	s := newSweep(d)
	if err := s.read(ctx, d, progress); err != nil {
		return nil, structure, err
	}
	for i, f := range d.Files {
		if !f.Irregular {
			files = append(files, s.files[i].result(f.Path, f.Size))
		}
	}
	return files, s.structure.result("", 0), nil
}

// Structure returns the sum that Image.Structure has, and reads no file for it. The only error is
// that of a context that ended.
func (d *Disc) Structure(ctx context.Context) (FileSum, error) {
	s := newSweep(d)
	for _, h := range s.files {
		h.err = errNotWanted
	}
	err := s.read(ctx, d, nil)
	return s.structure.result("", 0), err
}

var errNotWanted = errors.New("not read")

// read hashes the disc from its start to its end.
func (s *sweep) read(ctx context.Context, d *Disc, progress func(read, total int64)) error {
	buffer := make([]byte, chunk)
	for at := int64(0); at < s.size; {
		if ctx.Err() != nil {
			return fmt.Errorf("read disc: %w", context.Cause(ctx))
		}
		b := buffer[:s.next(at, chunk)]
		if hashes := s.wanted(); len(hashes) > 0 {
			n, err := d.r.ReadAt(b, at)
			for _, h := range hashes {
				h.feed(b, n, err)
			}
		}
		at += int64(len(b))
		if progress != nil {
			progress(at, s.size)
		}
	}
	return nil
}

// diskHash hashes bytes of a disc as far as they can be read.
type diskHash struct {
	hash.Hash
	err error
}

func newDiskHash() *diskHash { return &diskHash{Hash: sha256.New()} }

// feed takes b, of which n bytes were read with err.
func (h *diskHash) feed(b []byte, n int, err error) {
	if n < len(b) {
		h.err = fmt.Errorf("cannot be read: %w", err)
		return
	}
	h.Write(b)
}

func (h *diskHash) result(path string, size int64) FileSum {
	return FileSum{Sum{Path: path, Size: size, SHA256: [sha256.Size]byte(h.Sum(nil))}, h.err}
}

// sweep goes over a disc from its start to its end and knows what each byte belongs to: files may
// share extents, or lie in those of others.
type sweep struct {
	size      int64
	files     []*diskHash // of each file; those with the same extents share one
	structure *diskHash
	ahead     []run // that were not begun, by start
	active    []run
}

// run is an extent to be hashed.
type run struct {
	Extent
	hash *diskHash
}

func newSweep(d *Disc) *sweep {
	s := &sweep{size: d.Size(), structure: newDiskHash()}
	same := map[string]*diskHash{}
	for _, f := range d.Files {
		key := fmt.Sprint(f.Extents)
		h := same[key]
		if h == nil {
			h = newDiskHash()
			same[key] = h
			for _, e := range f.Extents {
				s.ahead = append(s.ahead, run{e, h})
			}
		}
		s.files = append(s.files, h)
	}
	slices.SortFunc(s.ahead, func(a, b run) int { return cmp.Compare(a.LBA, b.LBA) })
	return s
}

// next moves to the byte at and returns for how many bytes from there the same files are concerned,
// at most limit.
func (s *sweep) next(at, limit int64) int64 {
	s.active = slices.DeleteFunc(s.active, func(r run) bool { return r.end() <= at })
	for len(s.ahead) > 0 && s.ahead[0].start() <= at {
		s.active, s.ahead = append(s.active, s.ahead[0]), s.ahead[1:]
	}
	end := min(s.size, at+limit)
	if len(s.ahead) > 0 {
		end = min(end, s.ahead[0].start())
	}
	for _, r := range s.active {
		end = min(end, r.end())
	}
	return end - at
}

// wanted are the hashes that the bytes from here on belong to, without those that are spoilt: a drive
// takes long over each sector that it cannot read.
func (s *sweep) wanted() []*diskHash {
	var hashes []*diskHash
	for _, r := range s.active {
		hashes = append(hashes, r.hash)
	}
	if len(hashes) == 0 {
		hashes = append(hashes, s.structure)
	}
	return slices.DeleteFunc(hashes, func(h *diskHash) bool { return h.err != nil })
}
