package iso9660

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// walk reads the directories of a disc.
type walk struct {
	disc   *Disc
	total  totals
	bytes  int64             // of directories
	seen   map[uint32]string // directories by LBA: each is read once
	susp   bool              // system use entries are there,
	skip   int               // behind so many bytes of each system use field
	sector [SectorSize]byte  // in which system use entries go on
}

// directory reads the directory with the given path and what is below it.
func (w *walk) directory(e Extent, path string, depth int) error {
	fail := func(err error) error { return fmt.Errorf("directory %q, sector %d: %w", "/"+path, e.LBA, err) }
	if other, ok := w.seen[e.LBA]; ok {
		return fail(fmt.Errorf("is that of %q too: the directories form a loop", "/"+other))
	}
	if depth > maxDepth {
		return fail(fmt.Errorf("lies more than %d directories deep", maxDepth))
	}
	if e.end() > w.disc.Size() {
		return fail(errors.New("lies behind the end of the disc"))
	}
	if w.bytes += e.Size; w.bytes > w.disc.Size() {
		return fail(errors.New("lies in other directories: all together have more bytes than the disc"))
	}
	w.seen[e.LBA] = path
	list, err := w.records(e)
	if err != nil {
		return fail(err)
	}
	for len(list) > 0 {
		if list, err = w.child(list, path, depth); err != nil {
			return err
		}
	}
	return nil
}

// records reads the records of a directory, without those of itself and its parent.
func (w *walk) records(e Extent) ([]dirRecord, error) {
	var list []dirRecord
	for at := int64(0); at < e.Size; at += SectorSize {
		b, err := w.disc.sector(e.LBA+uint32(at/SectorSize), w.disc.Size())
		if err != nil {
			return nil, err
		}
		for len(b) > 0 && b[0] != 0 {
			if int(b[0]) > len(b) {
				return nil, fmt.Errorf("a record in sector %d goes over its end", int64(e.LBA)+at/SectorSize)
			}
			r, err := parseRecord(b[:b[0]])
			if err != nil {
				return nil, err
			}
			b = b[b[0]:]
			if r.ident == "\x00" {
				w.announced(r)
			}
			if r.ident == "\x00" || r.ident == "\x01" {
				continue
			}
			if err := w.rockRidge(&r); err != nil {
				return nil, fmt.Errorf("file %q: %w", r.ident, err)
			}
			if w.total.entries++; w.total.entries > maxEntries {
				return nil, w.total.check(w.disc.Size())
			}
			r.system = nil // and with it the sector
			list = append(list, r)
		}
	}
	return list, nil
}

// child takes the first file or directory off list, which may have several records of a file.
func (w *walk) child(list []dirRecord, dir string, depth int) ([]dirRecord, error) {
	first := list[0]
	path, err := childPath(dir, first.name)
	if err != nil {
		return nil, fmt.Errorf("directory %q: %w", "/"+dir, err)
	}
	if first.flags&flagDirectory != 0 {
		return list[1:], w.directory(first.extent, path, depth+1)
	}
	f := DiscFile{Path: path, Executable: first.mode&0o111 != 0,
		Irregular: first.mode != 0 && first.mode&modeType != modeRegular}
	for {
		r := list[0]
		list = list[1:]
		if err := f.add(r.extent, w.disc.Size()); err != nil {
			return nil, fmt.Errorf("file %q, sector %d: %w", path, r.extent.LBA, err)
		}
		if r.flags&flagMultiExtent == 0 {
			break
		}
		if len(list) == 0 || list[0].ident != r.ident {
			return nil, fmt.Errorf("file %q: its last part has no record", path)
		}
	}
	w.disc.Files = append(w.disc.Files, f)
	w.total.add(path, 0, f.Extents...) // its records were counted when they were read
	return list, w.total.check(w.disc.Size())
}

// childPath joins path and name, which has to be the name of a file.
func childPath(dir, name string) (string, error) {
	path := name
	if dir != "" {
		path = dir + "/" + name
	}
	if strings.Contains(name, "/") || strings.ContainsRune(name, 0) || path == "." ||
		!fs.ValidPath(strings.ToValidUTF8(path, "_")) {
		return "", fmt.Errorf("%q is no name of a file", name)
	}
	return path, checkDepth(path)
}

// add appends an extent; the image has size bytes.
func (f *DiscFile) add(e Extent, size int64) error {
	if e.Size == 0 || f.Irregular {
		return nil
	}
	if e.end() > size {
		return fmt.Errorf("%d bytes from there lie behind the end of the disc", e.Size)
	}
	f.Size += e.Size
	if len(f.Extents) == 0 {
		f.Extents = append(f.Extents, e)
		return nil
	}
	last := &f.Extents[len(f.Extents)-1]
	switch {
	case last.Size%SectorSize != 0:
		return errors.New("only a file's last part may end within a sector")
	case last.end() == e.start():
		last.Size += e.Size
	case last.end() < e.start():
		f.Extents = append(f.Extents, e)
	default:
		return errors.New("the file's parts are not in the order of the disc")
	}
	return nil
}

// dirRecord is a directory record, ECMA-119 section 9.1.
type dirRecord struct {
	extent Extent
	flags  byte
	ident  string
	system []byte // system use field, in the sector that it was read from

	name string // of Rock Ridge, or made of ident
	mode uint32 // of Rock Ridge; 0 without
}

func parseRecord(b []byte) (r dirRecord, err error) {
	const head = 33
	if len(b) < head+1 || head+int(b[32]) > len(b) || b[32] == 0 {
		return r, errors.New("a directory record is damaged")
	}
	r.extent = Extent{LBA: little.Uint32(b[2:]), Size: int64(little.Uint32(b[10:]))}
	r.flags = b[25]
	r.ident = string(b[head : head+int(b[32])])
	r.name, _, _ = strings.Cut(r.ident, ";")
	r.name = strings.TrimSuffix(r.name, ".")
	if skip := b[1]; skip != 0 {
		r.extent.LBA += uint32(skip) // an extended attribute record, section 9.5
	}
	if from := head + int(b[32]) + (1 - int(b[32])%2); from < len(b) {
		r.system = b[from:]
	}
	return r, nil
}

// Parts of a POSIX mode.
const (
	modeType    = 0o170000
	modeRegular = 0o100000
)

// announced looks for the SP entry in a directory's record of itself: the root's says whether
// system use entries follow, SUSP section 5.3.
func (w *walk) announced(r dirRecord) {
	if len(r.system) >= 7 && string(r.system[:2]) == "SP" && r.system[4] == 0xBE && r.system[5] == 0xEF {
		w.susp, w.skip = true, int(r.system[6])
	}
}

// Limits of the system use entries of one record: in how many sectors they may go on, and how long the
// name that they have in all may be, in bytes (NAME_MAX of Linux).
const (
	maxContinuations = 16
	maxRockRidgeName = 255
)

// rockRidge takes name and mode from the system use entries of r.
func (w *walk) rockRidge(r *dirRecord) error {
	if !w.susp || len(r.system) < w.skip {
		return nil
	}
	var name strings.Builder
	area := r.system[w.skip:]
	for range maxContinuations {
		next, err := entriesOf(area, r, &name)
		if err != nil {
			return err
		}
		if name.Len() > maxRockRidgeName {
			return fmt.Errorf("its name has more than %d bytes", maxRockRidgeName)
		}
		if next == (continued{}) {
			if name.Len() > 0 {
				r.name = name.String()
			}
			return nil
		}
		if area, err = w.areaOf(next); err != nil {
			return err
		}
	}
	return fmt.Errorf("its Rock Ridge entries go on for more than %d sectors", maxContinuations)
}

// continued is where the system use entries of a record go on, SUSP section 5.1.
type continued struct{ lba, offset, length uint32 }

// entriesOf reads the system use entries in area and returns where they go on, if they do.
func entriesOf(area []byte, r *dirRecord, name *strings.Builder) (next continued, err error) {
	for len(area) >= 4 {
		length := int(area[2])
		if length < 4 || length > len(area) {
			return next, nil // padding
		}
		data := area[4:length]
		switch string(area[:2]) {
		case "NM":
			if len(data) > 1 {
				name.Write(data[1:])
			}
		case "PX":
			if len(data) >= 4 {
				r.mode = little.Uint32(data)
			}
		case "CE":
			if len(data) < 24 {
				return next, errors.New("its Rock Ridge entries are cut off")
			}
			next = continued{little.Uint32(data), little.Uint32(data[8:]), little.Uint32(data[16:])}
		case "ST":
			return next, nil
		}
		area = area[length:]
	}
	return next, nil
}

// areaOf reads the area in which system use entries go on. It is there until the next one is read.
func (w *walk) areaOf(c continued) ([]byte, error) {
	if c.offset > SectorSize || c.length > SectorSize || c.offset+c.length > SectorSize {
		return nil, fmt.Errorf("its Rock Ridge entries go on for %d bytes from byte %d of sector %d, over its end",
			c.length, c.offset, c.lba)
	}
	if err := w.disc.readSector(w.sector[:], c.lba, w.disc.Size()); err != nil {
		return nil, fmt.Errorf("Rock Ridge entries: %w", err)
	}
	return w.sector[c.offset : c.offset+c.length], nil
}
