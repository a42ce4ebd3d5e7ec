package remaster

import (
	"cmp"
	"io"
	"slices"

	"github.com/zerodisc/zerodisc/internal/iso9660"
)

// contents makes a Content of every file of the disc, in their order. Files with the same extent have
// the same Content, and one that lies in another's extent is a slice of that: on a disc made of
// them they need no more room than here.
func contents(disc *iso9660.Disc) []*iso9660.Content {
	list := make([]*iso9660.Content, len(disc.Files))
	var order []int
	for i := range disc.Files {
		if len(disc.Files[i].Extents) == 1 {
			order = append(order, i)
			continue
		}
		list[i] = own(disc, &disc.Files[i])
	}
	extent := func(i int) iso9660.Extent { return disc.Files[i].Extents[0] }
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(
			cmp.Compare(extent(a).LBA, extent(b).LBA), cmp.Compare(extent(b).Size, extent(a).Size), cmp.Compare(a, b))
	})
	var whole iso9660.Extent
	var content *iso9660.Content // of whole
	known := map[iso9660.Extent]*iso9660.Content{}
	for _, i := range order {
		e := extent(i)
		offset := int64(e.LBA-whole.LBA) * iso9660.SectorSize
		switch {
		case known[e] != nil:
		case content != nil && offset+e.Size <= whole.Size:
			known[e] = content.Slice(offset, e.Size)
		default:
			whole, content = e, own(disc, &disc.Files[i])
			known[e] = content
		}
		list[i] = known[e]
	}
	return list
}

// own is the content of a file that shares nothing.
func own(disc *iso9660.Disc, f *iso9660.DiscFile) *iso9660.Content {
	return &iso9660.Content{
		Size: f.Size,
		Open: func() (io.ReadCloser, error) { return io.NopCloser(disc.Reader(f)), nil },
	}
}
