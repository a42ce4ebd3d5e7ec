package guestconsole

// ringBytes is how much is kept of what a guest says. A Linux guest says 20 to 40 KB until its login prompt.
const ringBytes = 64 << 10

// ring keeps the newest bytes of a stream. It grows with what it keeps.
type ring struct {
	kept  []byte // byte number n of the stream is kept[(n-base)%ringBytes]
	base  int64  // number of the first byte since the ring was emptied
	total int64  // bytes of the stream so far
}

// start is the number of the oldest byte that is kept.
func (r *ring) start() int64 { return r.total - int64(len(r.kept)) }

func (r *ring) append(p []byte) {
	for len(p) > 0 {
		var n int
		if room := ringBytes - len(r.kept); room > 0 {
			n = min(len(p), room)
			r.grow(n)
			r.kept = append(r.kept, p[:n]...)
		} else {
			n = copy(r.kept[r.index(r.total):], p)
		}
		r.total += int64(n)
		p = p[n:]
	}
}

func (r *ring) index(number int64) int { return int((number - r.base) % ringBytes) }

// grow makes room for n more bytes, by doubling: append's own steps would end above ringBytes.
func (r *ring) grow(n int) {
	want := len(r.kept) + n
	if want <= cap(r.kept) {
		return
	}
	size := max(1<<10, cap(r.kept))
	for size < want {
		size *= 2
	}
	r.kept = append(make([]byte, 0, size), r.kept...)
}

// read copies what there is from byte number from on, or from the oldest one that is kept. at is the number of the
// first byte that it copied.
func (r *ring) read(p []byte, from int64) (n int, at int64) {
	at = min(max(from, r.start()), r.total)
	p = p[:min(int64(len(p)), r.total-at)]
	for next := at; n < len(p); next = at + int64(n) {
		n += copy(p[n:], r.kept[r.index(next):])
	}
	return n, at
}

// empty gives the memory back. The numbers of bytes go on.
func (r *ring) empty() { r.kept, r.base = nil, r.total }
