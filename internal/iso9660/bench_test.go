package iso9660

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// benchFile is the size in bytes of each of the files of which BenchmarkWrite has 1 GiB.
const benchFile = 16 << 20

// benchTree writes 1 GiB of files that do not compress and do not repeat into a new directory, which
// leaves them in the page cache.
func benchTree(b *testing.B) *Image {
	b.Helper()
	dir := b.TempDir()
	img := &Image{VolumeID: "BENCH", ModTime: modTime, Sums: "SHA256SUMS", Structure: "STRUCTURE"}
	source, data := rand.NewChaCha8([32]byte{}), make([]byte, benchFile)
	for i := range (1 << 30) / benchFile {
		name := filepath.Join(dir, fmt.Sprintf("%02d", i))
		_, _ = source.Read(data)
		if err := os.WriteFile(name, data, 0o600); err != nil {
			b.Fatal(err)
		}
		content, _, err := FromFile(name)
		if err != nil {
			b.Fatal(err)
		}
		img.Files = append(img.Files, File{Path: "dir/" + filepath.Base(name), Content: content})
	}
	return img
}

// BenchmarkWrite is the writing of a tree of 1 GiB to a new file, page cache warm:
//
//	go test -run - -bench Write -benchtime 5x ./internal/iso9660
func BenchmarkWrite(b *testing.B) {
	img := benchTree(b)
	dir := b.TempDir()
	b.SetBytes(1 << 30)
	for b.Loop() {
		f, err := os.CreateTemp(dir, "")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := img.Write(b.Context(), f, nil); err != nil {
			b.Fatal(err)
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := os.Remove(f.Name()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
