package diskimage

// units are parts of a disk, of one size, that a table describes one after the other: clusters, subclusters, grains.
type units interface {
	// unit says what the n-th unit is, and where in the file it is. Of Packed the second value has no meaning.
	unit(n int) (Kind, int64, error)
}

// join makes one piece of the units from first on that are of the same kind and lie one behind the other. skip is how
// many bytes of the first unit come before those that are asked for. It ends at limit, or when the count of units is
// reached. The caller knows the file.
func join[U units](table U, first, count int, size, skip, limit int64) (piece, error) {
	kind, offset, err := table.unit(first)
	if err != nil {
		return piece{}, err
	}
	length := size - skip
	for n := first + 1; n < count && length < limit && kind != Packed; n++ {
		k, at, err := table.unit(n)
		if err != nil || k != kind || k == Data && at != offset+skip+length {
			break // an error is for whoever asks for that unit
		}
		length += size
	}
	return piece{kind: kind, length: min(length, limit), offset: offset + skip}, nil
}
