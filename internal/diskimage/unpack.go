package diskimage

import (
	"bufio"
	"errors"
	"io"

	// For small reads at random a quarter faster than the standard library's.
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// Limits of memory, bytes.
const (
	inputBytes  = 16 << 10  // read from a file at once
	recentBytes = 256 << 10 // of clusters that were unpacked last; one is kept even if it is larger
	// Larger windows than this are of no use: no cluster is larger (maxClusterBits).
	maxWindow = 1 << maxClusterBits
)

// packed is a compressed cluster.
type packed struct {
	file   *file
	offset int64 // where it begins in the file
	size   int64 // how many bytes it can have at most; they may end beyond the end of the file
	whole  int   // bytes, unpacked
	skip   int   // how many of these come before those that are asked for
	method method
}

// method fills p with what the unpacker's input holds.
type method func(u *unpacker, p []byte) error

// unpacker unpacks clusters and keeps the last ones.
type unpacker struct {
	recent []unpacked
	clock  uint64 // counts uses

	input *bufio.Reader
	raw   io.ReadCloser // deflate
	zlib  io.ReadCloser // deflate with zlib's header
	zstd  *zstd.Decoder
}

// unpacked is a cluster of which the first bytes were unpacked, or all.
type unpacked struct {
	file   *file
	offset int64
	used   uint64
	data   []byte // its capacity is that of the whole cluster
}

// get returns a cluster, at least its first bytes until end. They are valid until the next call.
//
// The first time no more is unpacked than is asked for, which for small reads at random takes half the time. Who
// comes back for more gets all of it.
func (u *unpacker) get(p packed, end int) ([]byte, error) {
	u.clock++
	kept := u.find(p)
	if kept == nil {
		buffer := u.room(p.whole)
		u.recent = append(u.recent, unpacked{file: p.file, offset: p.offset, data: buffer[:0]})
		kept = &u.recent[len(u.recent)-1]
	} else if len(kept.data) < end {
		end = p.whole
	}
	kept.used = u.clock
	if len(kept.data) >= end {
		return kept.data, nil
	}
	data := kept.data[:end]
	if err := u.unpack(p, data); err != nil {
		return nil, err
	}
	kept.data = data
	return data, nil
}

// find returns the cluster if it is kept.
func (u *unpacker) find(p packed) *unpacked {
	for i := range u.recent {
		if r := &u.recent[i]; r.offset == p.offset && r.file == p.file && cap(r.data) >= p.whole {
			return r
		}
	}
	return nil
}

// unpack fills data with the beginning of a cluster.
func (u *unpacker) unpack(p packed, data []byte) error {
	if p.offset >= p.file.size {
		return p.file.beyond("a compressed cluster", p.offset)
	}
	if u.input == nil {
		u.input = bufio.NewReaderSize(nil, inputBytes)
	}
	u.input.Reset(io.NewSectionReader(p.file, p.offset, min(p.size, p.file.size-p.offset)))
	if err := p.method(u, data); err != nil {
		return p.file.errorf("the compressed cluster at offset %d is damaged: %w", p.offset, reason(err))
	}
	return nil
}

// room returns a buffer of size bytes, for which it gives up the clusters that were not used for longest.
func (u *unpacker) room(size int) []byte {
	var free []byte
	for u.kept()+size > recentBytes && len(u.recent) > 0 {
		oldest := 0
		for i, r := range u.recent {
			if r.used < u.recent[oldest].used {
				oldest = i
			}
		}
		free = u.recent[oldest].data[:0]
		last := len(u.recent) - 1
		u.recent[oldest], u.recent[last] = u.recent[last], unpacked{}
		u.recent = u.recent[:last]
	}
	if cap(free) >= size {
		return free[:size]
	}
	return make([]byte, size)
}

// kept is how many bytes the clusters have that are kept.
func (u *unpacker) kept() int {
	sum := 0
	for _, r := range u.recent {
		sum += cap(r.data)
	}
	return sum
}

func (u *unpacker) close() {
	if u.zstd != nil {
		u.zstd.Close()
	}
}

// inflate is qcow2's first method: deflate without a header (RFC 1951).
func inflate(u *unpacker, p []byte) error {
	if u.raw == nil {
		u.raw = flate.NewReader(u.input)
	} else if err := u.raw.(flate.Resetter).Reset(u.input, nil); err != nil {
		return err
	}
	return fill(u.raw, p)
}

// unzstd is qcow2's second method (RFC 8878).
func unzstd(u *unpacker, p []byte) error {
	if u.zstd == nil {
		decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return err
		}
		u.zstd = decoder
	}
	if err := u.zstd.Reset(u.input); err != nil {
		return err
	}
	return fill(u.zstd, p)
}

// unzlib reads a zlib stream (RFC 1950). Its sum is checked if all of it is read.
func unzlib(u *unpacker, p []byte) error {
	var err error
	if u.zlib == nil {
		u.zlib, err = zlib.NewReader(u.input)
	} else {
		err = u.zlib.(zlib.Resetter).Reset(u.input, nil)
	}
	if err != nil {
		return unexpected(err)
	}
	if err := fill(u.zlib, p); err != nil {
		return err
	}
	var more [1]byte
	if _, err := io.ReadFull(u.zlib, more[:]); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// unmark reads a grain of a VMDK that begins with a marker: its number on the disk and how many bytes of zlib follow. A
// zlib stream has an end of its own.
func unmark(u *unpacker, p []byte) error {
	if _, err := u.input.Discard(markerBytes); err != nil {
		return unexpected(err)
	}
	return unzlib(u, p)
}

// fill reads exactly len(p) bytes.
func fill(r io.Reader, p []byte) error {
	_, err := io.ReadFull(r, p)
	return unexpected(err)
}

// unexpected is err for a reader of which more was to come.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
