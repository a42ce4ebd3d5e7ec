package diskimage

// raw is an image that is the disk itself.
type raw struct{ file *file }

func openRaw(_ *opener, f *file) (layer, *base, error) { return raw{f}, nil, nil }

func (r raw) size() int64 { return r.file.size }

func (r raw) find(off, limit int64) (piece, error) {
	return piece{kind: Data, length: limit, file: r.file, offset: off}, nil
}
