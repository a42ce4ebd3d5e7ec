package iso9660

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/zerodisc/zerodisc/internal/sha256sums"
)

// Sum is what was written or read of one file.
type Sum struct {
	Path   string
	Size   int64 // bytes
	SHA256 [sha256.Size]byte
}

// sumsOf are the sums of files, sorted by path.
func sumsOf(files []File, byContent map[*Content][sha256.Size]byte) []Sum {
	sums := make([]Sum, 0, len(files))
	for _, file := range files {
		sums = append(sums, Sum{Path: file.Path, Size: file.Content.Size, SHA256: byContent[file.Content]})
	}
	slices.SortFunc(sums, func(a, b Sum) int { return cmp.Compare(a.Path, b.Path) })
	return sums
}

// FormatSums is the content of the file that Image.Sums names: a line for each of sums, sorted by path.
func FormatSums(sums []Sum) ([]byte, error) {
	list := make([]sha256sums.Sum, 0, len(sums))
	for _, sum := range sums {
		list = append(list, sha256sums.Sum{Path: sum.Path, SHA256: sum.SHA256})
	}
	slices.SortFunc(list, func(a, b sha256sums.Sum) int { return cmp.Compare(a.Path, b.Path) })
	var b bytes.Buffer
	err := sha256sums.Format(&b, list)
	return b.Bytes(), err
}

// structureSize is the size in bytes of the file that Image.Structure names.
const structureSize = 2*sha256.Size + 1

// StructureText is the content of the file that Image.Structure names.
func StructureText(sum [sha256.Size]byte) []byte { return fmt.Appendf(nil, "%x\n", sum) }

// structureSum hashes what is known of the image before any file is read: all of it but its files.
func structureSum(pieces []piece) (sum [sha256.Size]byte) {
	h, at := sha256.New(), int64(0)
	for _, p := range pieces {
		h.Write(make([]byte, p.offset-at))
		h.Write(p.data)
		at = p.end()
	}
	return [sha256.Size]byte(h.Sum(nil))
}
