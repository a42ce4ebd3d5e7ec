package diskimage

import "sort"

// vmdk is a disk of one or more extents. One that lies in a single file has one.
type vmdk struct{ extents []extent }

// extent is a part of a disk.
type extent struct {
	end  int64 // offset on the disk of what comes behind it, bytes
	part layer // as if it were a disk of its own
}

func openVMDK(o *opener, f *file) (layer, *base, error) {
	head, err := f.head(vmdkHeaderBytes)
	if err != nil {
		return nil, nil, err
	}
	if isText(head) {
		v, err := openVMDKDescriptor(o, f)
		return v, nil, err
	}
	g, err := openGrains(o, f, head)
	if err != nil {
		return nil, nil, err
	}
	v := &vmdk{}
	v.add(g)
	return v, nil, nil
}

// add appends an extent.
func (v *vmdk) add(part layer) { v.extents = append(v.extents, extent{v.size() + part.size(), part}) }

func (v *vmdk) size() int64 {
	if len(v.extents) == 0 {
		return 0
	}
	return v.extents[len(v.extents)-1].end
}

func (v *vmdk) find(off, limit int64) (piece, error) {
	n := sort.Search(len(v.extents), func(n int) bool { return v.extents[n].end > off })
	e := v.extents[n]
	inExtent := off - (e.end - e.part.size())
	return e.part.find(inExtent, min(limit, e.end-off))
}
