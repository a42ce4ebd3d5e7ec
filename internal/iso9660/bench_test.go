//go:build linux

package iso9660

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// benchFile is the size in bytes of each of the files of which BenchmarkWrite has 1 GiB.
const benchFile = 16 << 20

// benchTree writes 1 GiB of files that do not compress and do not repeat into dir, which leaves them in the
// page cache.
func benchTree(b *testing.B, dir string) *Image {
	b.Helper()
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
		img.Files = append(img.Files, File{Path: filepath.Base(name), Content: content})
	}
	return img
}

// BenchmarkWrite is the writing of a tree of 1 GiB to a new file, page cache warm, in turns with xorriso
// where there is one:
//
//	go test -run - -bench Write -benchtime 9x ./internal/iso9660
//
// xorriso/ours is by how much xorriso's median is the longer; it sums up no file meanwhile.
func BenchmarkWrite(b *testing.B) {
	tree, out := b.TempDir(), filepath.Join(b.TempDir(), "iso")
	img := benchTree(b, tree)
	xorriso, _ := exec.LookPath("xorriso")
	// Both begin with nothing left to write from the run before.
	timed := func(write func() error) time.Duration {
		unix.Sync()
		start := time.Now()
		if err := write(); err != nil {
			b.Fatal(err)
		}
		took := time.Since(start)
		if err := os.Remove(out); err != nil {
			b.Fatal(err)
		}
		return took
	}
	var ours, theirs []time.Duration
	for range b.N {
		ours = append(ours, timed(func() error { return writeTo(b.Context(), img, out) }))
		if xorriso != "" {
			theirs = append(theirs, timed(exec.Command(xorriso, "-as", "mkisofs", "-quiet", "-R", "-o", out, tree).Run))
		}
	}
	b.ReportMetric(0, "ns/op") // the mean of both and of waiting for the disk
	b.ReportMetric(median(ours).Seconds(), "s/GiB")
	if theirs != nil {
		b.ReportMetric(median(theirs).Seconds()/median(ours).Seconds(), "xorriso/ours")
	}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func writeTo(ctx context.Context, img *Image, name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = img.Write(ctx, f, nil)
	return errors.Join(err, f.Close())
}
