package iso9660

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"
)

// Write writes img to w in one sequential pass and returns the sums of its files, sorted by path, with
// those of the files that it makes. progress, when not nil, is told the bytes written so far and in all,
// after every 128 KiB or less. Sources are read ahead, by another goroutine than the one that writes and
// calls progress; all have ended when Write returns. A source that does not have its announced size is
// an error that wraps ErrSize; what w got is then useless.
func (img *Image) Write(ctx context.Context, w io.Writer, progress func(written, total int64)) ([]Sum, error) {
	l, err := img.Layout()
	if err != nil {
		return nil, err
	}
	pieces, err := l.pieces(img)
	if err != nil {
		return nil, err
	}
	if progress == nil {
		progress = func(int64, int64) {}
	}
	sums := map[*Content][sha256.Size]byte{}
	out := &output{w: w, total: l.Size(), progress: progress, sums: sums, slices: slicesOf(l.all)}
	if l.structure != nil {
		l.structure.fill(StructureText(structureSum(pieces)))
	}
	if l.sums != nil {
		before := slices.IndexFunc(pieces, func(p piece) bool { return p.content == l.sums })
		if err := out.copy(ctx, pieces[:before]); err != nil {
			return nil, err
		}
		pieces = pieces[before:]
		list, err := FormatSums(sumsOf(l.summed(), sums))
		if err != nil {
			return nil, err
		}
		l.sums.fill(list)
	}
	if err := out.copy(ctx, pieces); err != nil {
		return nil, err
	}
	return sumsOf(l.all, sums), nil
}

// fill gives a content of announced size its bytes.
func (c *Content) fill(data []byte) { c.Open = Bytes(data).Open }

// piece is a run of bytes of the image: known ones, or a file's. Between pieces are zeros.
type piece struct {
	offset  int64 // where it starts, bytes
	data    []byte
	content *Content // not nil: the file's, and data is not used
	extent  extent   // of content
}

// end is the offset behind the piece.
func (p piece) end() int64 {
	if p.content != nil {
		return p.offset + p.content.Size
	}
	return p.offset + int64(len(p.data))
}

// pieces lists what the image is made of, in the order of the disc, up to its last byte.
func (l *Layout) pieces(img *Image) ([]piece, error) {
	head, tail, err := img.hybrid(l)
	if err != nil {
		return nil, err
	}
	files := func(list []extent) (pieces []piece) {
		for _, e := range list {
			pieces = append(pieces, piece{offset: int64(e.lba) * SectorSize, content: e.content, extent: e})
		}
		return pieces
	}
	return slices.Concat(
		[]piece{{data: head}, {offset: lbaPrimary * SectorSize, data: l.descriptors(img)}},
		files(l.boot),
		[]piece{{offset: int64(l.pathTables) * SectorSize, data: l.tree(img)}},
		files(l.files),
		[]piece{{offset: l.Size() - int64(len(tail)), data: tail}},
	), nil
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

// slicesOf lists the contents that lie in others, by those.
func slicesOf(files []File) map[*Content][]*Content {
	found := map[*Content]map[*Content]bool{}
	for _, file := range files {
		whole := file.Content.whole
		if whole == nil {
			continue
		}
		if found[whole] == nil {
			found[whole] = map[*Content]bool{}
		}
		found[whole][file.Content] = true
	}
	lists := map[*Content][]*Content{}
	for whole, set := range found {
		lists[whole] = slices.Collect(maps.Keys(set))
	}
	return lists
}
