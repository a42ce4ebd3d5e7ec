package iso9660

// Flags of a directory record, ECMA-119 section 9.1.6.
const (
	flagDirectory   = 0x02
	flagMultiExtent = 0x80
)

// maxExtent is how many bytes of a file one directory record covers: the most that 32 bits
// hold and that ends with a sector. A bigger file has several records.
const maxExtent = 0xFFFFF800

// Modes as Rock Ridge stores them: POSIX file type and permissions.
const (
	modeDirectory  = 0o040555
	modeFile       = 0o100444
	modeExecutable = 0o100555
)

// directory is the extent of dir: its records, none of them across a sector border.
func (l *Layout) directory(dir *node, img *Image) []byte {
	var b []byte
	add := func(record []byte) {
		if used := len(b) % SectorSize; used+len(record) > SectorSize {
			b = zeros(b, SectorSize-used)
		}
		b = append(b, record...)
	}
	add(dir.record(img, "\x00", l.selfEntries(dir, img)))
	add(dir.parent.record(img, "\x01", dir.parent.attributes(img)))
	for _, child := range dir.sorted {
		for _, record := range l.records(child, img) {
			add(record)
		}
	}
	return zeros(b, int(sectorsOf(int64(len(b))))*SectorSize-len(b))
}

// selfEntries are the system use entries of a directory's "."; the root's announces Rock Ridge
// and points to its reference, which would not fit the record.
func (l *Layout) selfEntries(dir *node, img *Image) []byte {
	attributes := dir.attributes(img)
	if dir.parent != dir {
		return attributes
	}
	entries := append(sharingProtocol(), attributes...)
	return append(entries, continuation(l.references, uint32(len(extensionReference())))...)
}

// records are the directory records of n in its parent: one, or one per maxExtent bytes.
func (l *Layout) records(n *node, img *Image) [][]byte {
	entries := append(n.attributes(img), alternateName(n.name)...)
	ident := n.ident.onDisc(n.directory())
	if n.directory() {
		return [][]byte{n.record(img, ident, entries)}
	}
	var list [][]byte
	lba, rest := l.lbas[n.file.Content], n.file.Content.Size
	for rest > maxExtent {
		list = append(list, record(img, lba, maxExtent, flagMultiExtent, ident, entries))
		lba, rest = lba+maxExtent/SectorSize, rest-maxExtent
	}
	return append(list, record(img, lba, uint32(rest), 0, ident, entries))
}

// record is the directory record of the directory n under the identifier ident.
func (n *node) record(img *Image, ident string, entries []byte) []byte {
	return record(img, n.lba, n.size, flagDirectory, ident, entries)
}

// record is a directory record, ECMA-119 section 9.1.
func record(img *Image, lba, size uint32, flags byte, ident string, entries []byte) []byte {
	b := []byte{0, 0} // the length comes at the end
	b = both32(b, lba)
	b = both32(b, size)
	b = shortDate(b, img.ModTime)
	b = append(b, flags, 0, 0)
	b = both16(b, 1) // volume
	b = append(append(b, byte(len(ident))), ident...)
	b = zeros(b, len(b)%2)
	b = append(b, entries...)
	b = zeros(b, len(b)%2)
	b[0] = byte(len(b))
	return b
}

// attributes are the Rock Ridge entries that everything has: PX (mode, links, owner) and TF (dates).
func (n *node) attributes(img *Image) []byte {
	mode, links := uint32(modeFile), uint32(1)
	switch {
	case n.directory():
		mode, links = modeDirectory, 2+n.subdirectories()
	case n.file.Executable:
		mode = modeExecutable
	}
	b := entry("PX", 36)
	b = both32(b, mode)
	b = both32(b, links)
	b = both32(b, 0) // user
	b = both32(b, 0) // group
	const modified = 0x02
	b = append(append(b, entry("TF", 12)...), modified)
	return shortDate(b, img.ModTime)
}

// entry starts a system use entry of the given whole length, SUSP section 4.
func entry(signature string, length int) []byte {
	return append([]byte(signature), byte(length), 1)
}

// sharingProtocol is the SP entry, SUSP section 5.3.
func sharingProtocol() []byte {
	return append(entry("SP", 7), 0xBE, 0xEF, 0)
}

// continuation is the CE entry, SUSP section 5.1: the entries go on for length bytes at lba.
func continuation(lba, length uint32) []byte {
	b := both32(entry("CE", 28), lba)
	b = both32(b, 0)
	return both32(b, length)
}

// alternateName is the NM entry: the name itself.
func alternateName(name string) []byte {
	b := append(entry("NM", 5+len(name)), 0)
	return append(b, name...)
}

// extensionReference is the ER entry that names the Rock Ridge revision in use. The texts are
// the specification's (RRIP 1.10, section 4.3); readers compare them.
func extensionReference() []byte {
	const (
		id          = "RRIP_1991A"
		description = "THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS"
		source      = "PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  SEE PUBLISHER IDENTIFIER " +
			"IN PRIMARY VOLUME DESCRIPTOR FOR CONTACT INFORMATION."
	)
	b := entry("ER", 8+len(id+description+source))
	b = append(b, byte(len(id)), byte(len(description)), byte(len(source)), 1)
	return append(b, id+description+source...)
}
