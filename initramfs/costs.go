package initramfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"
)

// Part is a file that went into the initrd.
type Part struct {
	Name string
	File string

	archive    *Archive
	categories map[string]string // of kernel modules, by file name
	firmware   map[string]string // packages of firmware, by name in the archive
}

// Cost is what a group of files in a part takes.
type Cost struct {
	Name  string
	Files int
	Plain int64 // bytes of the files themselves
	Bytes int64 // their share of the part, compressed
}

// Add makes c the sum of c and other.
func (c *Cost) Add(other Cost) {
	c.Files += other.Files
	c.Plain += other.Plain
	c.Bytes += other.Bytes
}

// costBlock is the size of the pieces that squashfs compresses, each by itself (dom0Block).
const costBlock = 256 << 10

// Costs splits the part's size by what is in it, the largest first. squashfs does not say what a file takes
// once it is compressed, so every file is compressed here, less well, and gets the same share of the part.
func (p Part) Costs(ctx context.Context) ([]Cost, error) {
	info, err := os.Stat(p.File)
	if err != nil {
		return nil, err
	}
	encoder, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer encoder.Close()
	sums := map[string]*Cost{}
	var all int64
	for _, name := range slices.Sorted(maps.Keys(p.archive.records)) {
		record := p.archive.records[name]
		if record.Mode&cpio.S_IFMT != cpio.S_IFREG {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		size, err := compressedSize(encoder, record)
		if err != nil {
			return nil, fmt.Errorf("size of %s: %w", name, err)
		}
		group := p.group(name)
		if sums[group] == nil {
			sums[group] = &Cost{Name: group}
		}
		sums[group].Add(Cost{Files: 1, Plain: int64(record.FileSize), Bytes: size})
		all += size
	}
	var costs []Cost
	for _, c := range sums {
		c.Bytes = int64(float64(c.Bytes) / float64(all) * float64(info.Size()))
		costs = append(costs, *c)
	}
	slices.SortFunc(costs, func(a, b Cost) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Name, b.Name))
	})
	return costs, nil
}

// group is the name under which a file is summed up.
func (p Part) group(name string) string {
	if pkg, ok := p.firmware[name]; ok {
		return "firmware: " + strings.TrimPrefix(pkg, "firmware-")
	}
	file := path.Base(name)
	if category, ok := p.categories[file]; ok {
		return "modules: " + category
	}
	if strings.Contains(file, ".so") {
		return "shared libraries"
	}
	return file
}

// compressedSize compresses a file as squashfs does: in blocks.
func compressedSize(encoder *zstd.Encoder, record cpio.Record) (sum int64, err error) {
	in := io.NewSectionReader(record.ReaderAt, 0, int64(record.FileSize))
	if closer, ok := record.ReaderAt.(io.Closer); ok {
		defer func() { err = errors.Join(err, closer.Close()) }()
	}
	block := make([]byte, costBlock)
	var out []byte
	for {
		n, err := io.ReadFull(in, block)
		if n > 0 {
			out = encoder.EncodeAll(block[:n], out[:0])
			sum += int64(min(len(out), n))
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return sum, nil
		case err != nil:
			return 0, err
		}
	}
}
