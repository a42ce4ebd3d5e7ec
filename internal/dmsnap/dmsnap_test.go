package dmsnap

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"strings"
	"testing"
)

const chunk = 4096

// store makes a store with these exceptions: where a chunk was.
func store(chunks ...uint64) []byte {
	b := binary.LittleEndian.AppendUint32(nil, magic)
	for _, n := range []uint32{1, version, chunk / sectorBytes} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	b = append(b, make([]byte, 2*chunk-len(b))...)
	area, next, n := int64(chunk), uint64(2), 0
	for _, was := range chunks {
		binary.LittleEndian.PutUint64(b[area+int64(n)*pairBytes:], was)
		binary.LittleEndian.PutUint64(b[area+int64(n)*pairBytes+8:], next)
		b = append(b, bytes.Repeat([]byte{byte(was)}, chunk)...)
		next++
		if n++; n == chunk/pairBytes {
			area, n = int64(len(b)), 0
			b = append(b, make([]byte, chunk)...)
			next++
		}
	}
	return b
}

func TestRead(t *testing.T) {
	var many []uint64
	var want []int64
	for n := range uint64(600) { // more than two areas
		many = append(many, 1199-2*n)
		want = append(want, int64(1+2*n))
	}
	changed := func(b []byte, at int, value byte) []byte {
		b[at] = value
		return b
	}
	for _, test := range []struct {
		name  string
		store []byte
		want  []int64
		err   string
	}{
		{name: "nothing", store: store()},
		{name: "some", store: store(7, 3, 0, 9), want: []int64{0, 3, 7, 9}},
		{name: "many", store: store(many...), want: want},
		{name: "one area exactly", store: store(many[:256]...), want: want[344:]},
		{name: "empty", store: nil, err: "EOF"},
		{name: "magic", store: changed(store(1), 0, 'X'), err: "no store"},
		{name: "version", store: changed(store(1), 8, 2), err: "no store"},
		{name: "invalid", store: changed(store(1), 4, 0), err: "given the changes up"},
		{name: "chunk size 0", store: changed(store(1), 12, 0), err: "no store"},
		{name: "chunk size 9", store: changed(store(1), 12, 9), err: "no store"},
		{name: "chunk size 4 GiB", store: changed(store(1), 15, 1), err: "no store"},
		{name: "beyond the end", store: store(3000), err: "beyond the disk's end"},
	} {
		got, err := Read(bytes.NewReader(test.store), int64(len(test.store)), 2000*chunk)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: %v, want %q", test.name, err, test.err)
			}
			continue
		}
		if err != nil || !slices.Equal(got.Chunks, test.want) || got.ChunkBytes != chunk {
			t.Errorf("%s: %v, %v, want %v", test.name, got, err, test.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(store(1, 2, 3), int64(100*chunk))
	f.Add(store(), int64(1))
	f.Fuzz(func(t *testing.T, b []byte, disk int64) {
		c, err := Read(readerAt(b), int64(len(b)), disk)
		if err == nil && len(c.Chunks) > len(b)/pairBytes {
			t.Errorf("%d chunks in %d bytes", len(c.Chunks), len(b))
		}
	})
}

// readerAt has zeros after its end, as a sparse file has.
type readerAt []byte

func (r readerAt) ReadAt(p []byte, at int64) (int, error) {
	if at < 0 {
		return 0, io.ErrUnexpectedEOF
	}
	clear(p)
	if at < int64(len(r)) {
		copy(p, r[at:])
	}
	return len(p), nil
}
