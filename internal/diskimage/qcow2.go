package diskimage

import "encoding/binary"

// Entries of L1 and L2 tables. The bits that are left are reserved or, bit 63, for writers.
const (
	offsetMask     = 1<<56 - 1<<9
	flagCompressed = 1 << 62
	flagZero       = 1
)

// subclusters are those of one cluster of an image with extended L2 entries.
const (
	subclusterBits = 5
	subclusters    = 1 << subclusterBits
)

// qcow2 is an image of version 2 or 3. Its internal snapshots and its refcounts are of no interest: the active L1 table
// describes all of the disk.
type qcow2 struct {
	*qcow2Header
	file  *file
	pages *pages

	unitSize int64 // bytes of what has a state of its own: a cluster or, with extended L2 entries, a subcluster
	unitBits uint  // log2 of the units of one entry
}

func openQCOW2(o *opener, f *file) (layer, *base, error) {
	h, err := readQCOW2Header(f)
	if err != nil {
		return nil, nil, err
	}
	q := &qcow2{qcow2Header: h, file: f, pages: o.pages, unitSize: h.clusterSize}
	if h.extended {
		q.unitBits = subclusterBits
		q.unitSize /= subclusters
	}
	below, err := h.backing(f)
	return q, below, err
}

func (q *qcow2) size() int64 { return int64(q.qcow2Header.size) }

func (q *qcow2) find(off, limit int64) (piece, error) {
	table, err := q.table(off / q.reach)
	if err != nil {
		return piece{}, err
	}
	inTable := off % q.reach
	if table == 0 {
		return piece{kind: absent, length: min(limit, q.reach-inTable)}, nil
	}
	index := inTable >> q.clusterBits
	entries, err := q.pages.view(q.file, table+index*q.entrySize, int(q.entrySize), "an L2 table")
	if err != nil {
		return piece{}, err
	}
	count := min(int64(len(entries))/q.entrySize, 1<<q.tableBits-index)
	units := l2Units{q, entries}
	inCluster := off & (q.clusterSize - 1)
	if entry := binary.BigEndian.Uint64(entries); entry&flagCompressed != 0 {
		return q.compressed(entry, inCluster, limit), nil
	}
	p, err := join(units, int(inCluster/q.unitSize), int(count<<q.unitBits), q.unitSize, inCluster%q.unitSize, limit)
	p.file = q.file
	return p, err
}

// table returns the offset of an L2 table in the file, 0 where there is none.
func (q *qcow2) table(number int64) (int64, error) {
	entry, err := q.pages.view(q.file, int64(q.l1Offset)+number*8, 8, "the L1 table")
	if err != nil {
		return 0, err
	}
	table := int64(binary.BigEndian.Uint64(entry) & offsetMask)
	if table&(q.clusterSize-1) != 0 {
		return 0, q.file.errorf("the L1 table is damaged: an L2 table at offset %d, which no cluster begins at", table)
	}
	return table, nil
}

// compressed makes a piece of a compressed cluster.
func (q *qcow2) compressed(entry uint64, inCluster, limit int64) piece {
	method := inflate
	if q.compression != 0 {
		method = unzstd
	}
	sizeShift := 62 - (q.clusterBits - 8)
	offset := int64(entry & (1<<sizeShift - 1))
	sectors := int64(entry&(flagCompressed-1)>>sizeShift) + 1
	return piece{
		kind: Packed, length: min(limit, q.clusterSize-inCluster),
		packed: packed{
			file: q.file, offset: offset, size: sectors*512 - offset%512,
			whole: int(q.clusterSize), skip: int(inCluster), method: method,
		},
	}
}

// l2Units are the clusters or subclusters of part of an L2 table.
type l2Units struct {
	image   *qcow2
	entries []byte
}

func (u l2Units) unit(n int) (Kind, int64, error) {
	q := u.image
	entry := u.entries[n>>q.unitBits*int(q.entrySize):]
	descriptor := binary.BigEndian.Uint64(entry)
	if descriptor&flagCompressed != 0 {
		return Packed, 0, nil
	}
	offset := int64(descriptor & offsetMask)
	if offset&(q.clusterSize-1) != 0 {
		return 0, 0, q.file.errorf("an L2 table is damaged: a cluster at offset %d, which none begins at", offset)
	}
	if q.extended {
		sub := n & (subclusters - 1)
		return u.subcluster(offset, binary.BigEndian.Uint64(entry[8:])>>sub, int64(sub))
	}
	switch {
	case descriptor&flagZero != 0 && q.version < 3:
		return 0, 0, q.file.errorf("an L2 table is damaged: a zero cluster, which version 2 does not have")
	case descriptor&flagZero != 0:
		return Zero, 0, nil
	case offset == 0:
		return absent, 0, nil
	}
	return Data, offset, nil
}

// subcluster says what a subcluster is whose bits are the bits 0 (allocated) and 32 (zero) of bitmap.
func (u l2Units) subcluster(cluster int64, bitmap uint64, n int64) (Kind, int64, error) {
	allocated, zero := bitmap&1 != 0, bitmap>>32&1 != 0
	switch {
	case allocated && (zero || cluster == 0):
		return 0, 0, u.image.file.errorf("an L2 table is damaged: a subcluster that is data and %s",
			map[bool]string{true: "zero", false: "nowhere"}[zero])
	case allocated:
		return Data, cluster + n*u.image.unitSize, nil
	case zero:
		return Zero, 0, nil
	}
	return absent, 0, nil
}
