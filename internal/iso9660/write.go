package iso9660

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
)

// Sum is what was written of one file.
type Sum struct {
	Path   string
	Size   int64 // bytes
	SHA256 [sha256.Size]byte
}

// Write writes img to w in one sequential pass and returns the sums of its files, sorted by path.
// progress, when not nil, is told the bytes written so far and in all, after every 128 KiB or less. A source
// that does not have its announced size is an error that wraps ErrSize; what w got is then useless.
func (img *Image) Write(ctx context.Context, w io.Writer, progress func(written, total int64)) ([]Sum, error) {
	l, err := img.Layout()
	if err != nil {
		return nil, err
	}
	head, tail, err := img.hybrid(l)
	if err != nil {
		return nil, err
	}
	if progress == nil {
		progress = func(int64, int64) {}
	}
	out := &output{ctx: ctx, w: w, total: l.Size(), progress: progress, sums: map[*Content][sha256.Size]byte{}, tails: img.tails()}
	steps := []func() error{
		func() error { return out.write(head) },
		func() error { return out.sectors(lbaPrimary, l.descriptors(img)) },
		func() error { return out.extents(l.boot) },
		func() error { return out.sectors(l.pathTables, l.tree(img)) },
		func() error { return out.extents(l.files) },
		func() error { return out.padTo(l.Size() - int64(len(tail))) },
		func() error { return out.write(tail) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return img.sums(out.sums), nil
}

// hybrid asks for the parts that a disk's firmware looks at and holds them to their room.
func (img *Image) hybrid(l *Layout) (head, tail []byte, err error) {
	if img.Hybrid == nil {
		return nil, nil, nil
	}
	if head, tail, err = img.Hybrid(l); err != nil {
		return nil, nil, fmt.Errorf("make system area: %w", err)
	}
	if len(head) > SystemAreaSize || len(tail) > MaxTail {
		return nil, nil, fmt.Errorf("make system area: %d and %d bytes, room is for %d and %d",
			len(head), len(tail), SystemAreaSize, MaxTail)
	}
	return head, tail, nil
}

// descriptors are the sectors from the primary volume descriptor to the boot catalog. Without
// boot images the boot record's place is taken by a terminator: the descriptors end there.
func (l *Layout) descriptors(img *Image) []byte {
	if len(img.Boot) == 0 {
		return slices.Concat(l.primary(img), terminator())
	}
	return slices.Concat(l.primary(img), bootRecord(), terminator(), l.catalog(img.Boot))
}

// tree is the sectors from the path tables to the Rock Ridge reference.
func (l *Layout) tree(img *Image) []byte {
	var b bytes.Buffer
	for _, order := range []byteOrder{little, big} {
		table := pathTable(l.directories, order)
		b.Write(zeros(table, int(l.pathSectors)*SectorSize-len(table)))
	}
	for _, dir := range l.directories {
		b.Write(l.directory(dir, img))
	}
	b.Write(extensionReference())
	return b.Bytes()
}

// tails lists the contents that lie in others, by those.
func (img *Image) tails() map[*Content][]*Content {
	tails := map[*Content][]*Content{}
	for _, file := range img.Files {
		if whole := file.Content.whole; whole != nil && !slices.Contains(tails[whole], file.Content) {
			tails[whole] = append(tails[whole], file.Content)
		}
	}
	return tails
}

// sums are the sums of img's files, sorted by path.
func (img *Image) sums(byContent map[*Content][sha256.Size]byte) []Sum {
	sums := make([]Sum, 0, len(img.Files))
	for _, file := range img.Files {
		sums = append(sums, Sum{Path: file.Path, Size: file.Content.Size, SHA256: byContent[file.Content]})
	}
	slices.SortFunc(sums, func(a, b Sum) int { return cmp.Compare(a.Path, b.Path) })
	return sums
}

// chunk is how many bytes are read, hashed and written at a time: what was read is still in the
// processor's cache when it is hashed and written. 1 GiB took 1.6 s with 128 KiB and 2.7 s with 1 MiB.
const chunk = 128 << 10

// output is the image being written.
type output struct {
	ctx      context.Context
	w        io.Writer
	written  int64
	total    int64
	progress func(written, total int64)
	sums     map[*Content][sha256.Size]byte
	tails    map[*Content][]*Content
	buffer   []byte
}

func (o *output) write(b []byte) error {
	if err := context.Cause(o.ctx); err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	if _, err := o.w.Write(b); err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	o.written += int64(len(b))
	o.progress(o.written, o.total)
	return nil
}

// padTo writes zeros up to an offset in bytes. Gaps are small: the system area, the end of a
// sector, the padding at the end.
func (o *output) padTo(offset int64) error {
	if offset == o.written {
		return nil
	}
	return o.write(make([]byte, offset-o.written))
}

// sectors writes b at lba.
func (o *output) sectors(lba uint32, b []byte) error {
	if err := o.padTo(int64(lba) * SectorSize); err != nil {
		return err
	}
	return o.write(b)
}

// extents writes contents, each at its place.
func (o *output) extents(list []extent) error {
	for _, e := range list {
		if err := o.padTo(int64(e.lba) * SectorSize); err != nil {
			return err
		}
		if err := o.extent(e); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	return nil
}

func (o *output) extent(e extent) error {
	source, err := e.content.Open()
	if err != nil {
		return err
	}
	defer source.Close()
	if e.content.Patch != nil {
		return o.patched(e, source)
	}
	return o.copy(e.content, source)
}

// patched writes a content that wants to know its place.
func (o *output) patched(e extent, source io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(source, e.content.Size+1))
	if err != nil {
		return err
	}
	if int64(len(data)) == e.content.Size {
		if err := e.content.Patch(data, e.lba); err != nil {
			return err
		}
	}
	return o.copy(e.content, bytes.NewReader(data))
}

// copy writes and hashes source, which must have exactly the bytes that content announced.
func (o *output) copy(content *Content, source io.Reader) error {
	if o.buffer == nil {
		o.buffer = make([]byte, chunk)
	}
	sum := sha256.New()
	tails := make([]tailHash, 0, len(o.tails[content]))
	for _, tail := range o.tails[content] {
		tails = append(tails, tailHash{Hash: sha256.New(), content: tail, skip: tail.offset})
	}
	for rest := content.Size; rest > 0; {
		part := o.buffer[:min(rest, chunk)]
		n, err := io.ReadFull(source, part)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("%w: it had %d bytes and has %d", ErrSize, content.Size, content.Size-rest+int64(n))
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		sum.Write(part)
		for i := range tails {
			tails[i].feed(part)
		}
		if err := o.write(part); err != nil {
			return err
		}
		rest -= int64(n)
	}
	if n, _ := io.ReadFull(source, o.buffer[:1]); n > 0 {
		return fmt.Errorf("%w: it had %d bytes and has more", ErrSize, content.Size)
	}
	o.sums[content] = [sha256.Size]byte(sum.Sum(nil))
	for _, t := range tails {
		o.sums[t.content] = [sha256.Size]byte(t.Sum(nil))
	}
	return nil
}

// tailHash hashes what comes after the first skip bytes.
type tailHash struct {
	hash.Hash
	content *Content
	skip    int64
}

func (t *tailHash) feed(part []byte) {
	n := min(t.skip, int64(len(part)))
	t.skip -= n
	t.Write(part[n:])
}
