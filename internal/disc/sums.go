package disc

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/internal/iso9660"
)

// digests are the SHA-256 of contents.
type digests map[*iso9660.Content][sha256.Size]byte

// add hashes the contents of files that are not in d yet.
func (d digests) add(files []iso9660.File) error {
	for _, f := range files {
		if _, ok := d[f.Content]; ok {
			continue
		}
		sum, err := digest(f.Content)
		if err != nil {
			return fmt.Errorf("hash %s: %w", f.Path, err)
		}
		d[f.Content] = sum
	}
	return nil
}

// share makes files with the same bytes one content, which is on the disc once: Xen's packages alone have
// 14 times the same licence. Of equal ones keep stays: others are a part of it.
func share(files []iso9660.File, sums digests, keep *iso9660.Content) {
	first := map[[sha256.Size]byte]*iso9660.Content{sums[keep]: keep}
	for i, f := range files {
		sum := sums[f.Content]
		if same, ok := first[sum]; ok {
			files[i].Content = same
			continue
		}
		first[sum] = f.Content
	}
}

// buildID names this build by what is in it: 16 hexadecimal digits of the hash of everything that
// the image is made of. extra is what is not a file yet.
func buildID(files []iso9660.File, sums digests, extra ...string) string {
	hash := sha256.New()
	for _, text := range extra {
		fmt.Fprintf(hash, "%d %s\n", len(text), text)
	}
	byPath := func(a, b iso9660.File) int { return strings.Compare(a.Path, b.Path) }
	sorted := slices.SortedFunc(slices.Values(files), byPath)
	for _, f := range sorted {
		fmt.Fprintf(hash, "%s %x\n", f.Path, sums[f.Content])
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

func digest(c *iso9660.Content) (sum [sha256.Size]byte, err error) {
	r, err := c.Open()
	if err != nil {
		return sum, err
	}
	defer r.Close()
	hash := sha256.New()
	_, err = io.Copy(hash, r)
	return [sha256.Size]byte(hash.Sum(nil)), err
}
