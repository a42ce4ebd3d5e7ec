package guestconsole

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// numbered returns n bytes of a stream from byte number from on, each of which says where it is.
func numbered(from int64, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte((from + int64(i)) % 251)
	}
	return p
}

func TestRing(t *testing.T) {
	var r ring
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		r.append(numbered(r.total, random.IntN(3000)))
		if random.IntN(300) == 0 {
			r.append(numbered(r.total, 3*ringBytes))
		}
		if random.IntN(500) == 0 {
			r.empty()
			if r.start() != r.total || cap(r.kept) != 0 {
				t.Fatalf("an empty ring starts at %d of %d, with room for %d", r.start(), r.total, cap(r.kept))
			}
		}
		from := r.total - int64(random.IntN(2*ringBytes))
		p := make([]byte, random.IntN(2*ringBytes))
		n, at := r.read(p, from)
		if want := max(from, r.start()); at != want {
			t.Fatalf("read from %d begins at %d, want %d", from, at, want)
		}
		if want := min(int64(len(p)), r.total-at); int64(n) != want {
			t.Fatalf("read from %d of %d has %d bytes, want %d", from, r.total, n, want)
		}
		if !bytes.Equal(p[:n], numbered(at, n)) {
			t.Fatalf("%d bytes from %d are not those that were appended", n, at)
		}
	}
	if cap(r.kept) > ringBytes {
		t.Errorf("the ring has %d bytes", cap(r.kept))
	}
	if n, at := r.read(make([]byte, 1), r.total+5); n != 0 || at != r.total {
		t.Errorf("read after the end: %d bytes at %d", n, at)
	}
}

func TestRingGrows(t *testing.T) {
	var r ring
	for _, test := range []struct{ add, want int }{
		{1, 1 << 10}, {1 << 10, 2 << 10}, {30 << 10, 32 << 10}, {ringBytes, ringBytes},
	} {
		r.append(make([]byte, test.add))
		if cap(r.kept) != test.want {
			t.Errorf("%d bytes take %d, want %d", len(r.kept), cap(r.kept), test.want)
		}
	}
}
