package diskimage

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/lima-vm/go-qcow2reader"
	lima "github.com/lima-vm/go-qcow2reader/image/qcow2"
)

const benchClusters = 60_000

// Random reads of 4 KiB of a disk of 256 MB that is in the page cache, by this package and by go-qcow2reader. The
// disk is full of a program.
func BenchmarkRandomRead(b *testing.B) {
	dir := b.TempDir()
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		b.Fatal(err)
	}
	write(b, dir, "disk.raw", bytes.Repeat(program, 256<<20/len(program))[:benchClusters*4096])
	for _, bench := range []struct{ name, format, convert string }{
		{"raw", "raw", "-O raw"},
		{"qcow2", "qcow2", "-O qcow2"},
		{"qcow2-zlib", "qcow2", "-O qcow2 -c"},
		{"qcow2-zstd", "qcow2", "-O qcow2 -c -o compression_type=zstd"},
		{"vhd", "vhd", "-O vpc"},
		{"vmdk", "vmdk", "-O vmdk"},
		{"vmdk-stream", "vmdk", "-O vmdk -o subformat=streamOptimized"},
	} {
		qemuImg(b, dir, "convert -t unsafe -f raw "+bench.convert+" disk.raw "+bench.name)
		i := open(b, dir, bench.name, bench.format)
		b.Run(bench.name, func(b *testing.B) { randomReads(b, i) })
		b.Run(bench.name+"/lookup", func(b *testing.B) { lookups(b, i) })
		if bench.format == "qcow2" {
			b.Run(bench.name+"/go-qcow2reader", func(b *testing.B) {
				randomReads(b, openLibrary(b, filepath.Join(dir, bench.name)))
			})
		}
	}
}

func randomReads(b *testing.B, disk io.ReaderAt) {
	random, p := rand.New(rand.NewPCG(1, 2)), make([]byte, 4096)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		if n, err := disk.ReadAt(p, random.Int64N(benchClusters)*4096); n != len(p) {
			b.Fatal(err)
		}
	}
}

// lookups is what a server does that reads from the files itself, without the reading.
func lookups(b *testing.B, i *Image) {
	random := rand.New(rand.NewPCG(1, 2))
	for b.Loop() {
		if _, err := i.Lookup(random.Int64N(benchClusters)*4096, 4096); err != nil {
			b.Fatal(err)
		}
	}
}

// openLibrary opens a qcow2 image with go-qcow2reader, the judge of these tests.
func openLibrary(t testing.TB, name string) io.ReaderAt {
	t.Helper()
	lima.SetDecompressor(lima.CompressionTypeZstd, func(r io.Reader) (io.ReadCloser, error) {
		d, err := zstd.NewReader(r)
		return d.IOReadCloser(), err
	})
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	i, err := qcow2reader.OpenWithType(f, lima.Type)
	if err != nil {
		t.Fatal(err)
	}
	return i
}
