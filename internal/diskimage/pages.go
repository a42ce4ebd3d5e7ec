package diskimage

// The tables of an image are kept in pages: 4 KiB of a qcow2 image's L2 table with clusters of 64 KiB describe 32 MiB
// of the disk, all pages together 6 GiB. Whole tables would not do: with clusters of 2 MiB one has 2 MiB.
const (
	pageSize = 4 << 10
	pageSets = 64
	pageWays = 3 // pages of one set, of which the one that was not used for longest is given up
)

// pages are the parts of files' tables that were used last.
type pages struct {
	sets  [pageSets][pageWays]page
	clock uint64 // counts uses
}

// page is pageSize bytes of a file, fewer at its end.
type page struct {
	file  *file // nil: nothing
	index int64 // in pages from the beginning of the file
	used  uint64
	data  []byte
}

// view returns the bytes of f from off on until the end of their page, at least size of them. off is a multiple of
// size, a power of 2. They are valid until the next call. what names the table in errors.
func (p *pages) view(f *file, off int64, size int, what string) ([]byte, error) {
	if off > f.size-int64(size) {
		return nil, f.beyond(what, off)
	}
	p.clock++
	index := off / pageSize
	set := &p.sets[setOf(f, index)]
	victim := &set[0]
	for i := range set {
		way := &set[i]
		if way.index == index && way.file == f {
			way.used = p.clock
			return way.data[off%pageSize:], nil
		}
		if way.used < victim.used {
			victim = way
		}
	}
	if err := victim.load(f, index); err != nil {
		return nil, err
	}
	victim.used = p.clock
	return victim.data[off%pageSize:], nil
}

// setOf spreads the pages over the sets. Tables begin at multiples of some power of 2: the upper bits of a product are
// used, which depend on all bits of a factor.
func setOf(f *file, index int64) uint64 {
	const golden = 0x9e3779b97f4a7c15
	return (uint64(index) + uint64(f.number)<<48) * golden >> 58 % pageSets
}

// load reads the page of f with the given index.
func (p *page) load(f *file, index int64) error {
	if p.data == nil {
		p.data = make([]byte, pageSize)
	}
	p.file, p.used = nil, 0
	p.data = p.data[:min(pageSize, f.size-index*pageSize)]
	if _, err := f.read(p.data, index*pageSize); err != nil {
		return err
	}
	p.file, p.index = f, index
	return nil
}
