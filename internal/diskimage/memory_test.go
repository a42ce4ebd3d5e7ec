package diskimage

import (
	"bytes"
	"runtime"
	"strconv"
	"sync"
	"testing"
)

func toText(n int64) string { return strconv.FormatInt(n, 10) }

// maxMemory is what an open image may need, in bytes.
const maxMemory = 1500 << 10

// checkMemory runs f and looks at how much more memory is in use after it, in bytes.
func checkMemory(t *testing.T, limit int64, f func()) {
	t.Helper()
	before := inUse()
	f()
	if used := inUse() - before; used > limit {
		t.Errorf("%d bytes of memory are in use, at most %d should be", used, limit)
	} else {
		t.Logf("%d bytes of memory are in use", used)
	}
}

func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func checkByte(t *testing.T, i *Image, at int64, want byte) {
	t.Helper()
	got := make([]byte, 1)
	if _, err := i.ReadAt(got, at); err != nil || got[0] != want {
		t.Fatalf("byte %d is %#x, want %#x: %v", at, got[0], want, err)
	}
}

// TestPackedMemory reads disks whose clusters are all compressed. They are so small that nearly all of it is for
// unpacking.
func TestPackedMemory(t *testing.T) {
	const room = maxMemory - pageSets*pageWays*pageSize
	for name, test := range map[string]struct {
		format, convert string
		limit           int64
	}{
		"zlib":    {"qcow2", "-O qcow2 -c", room},
		"zstd":    {"qcow2", "-O qcow2 -c -o compression_type=zstd", room},
		"VMDK":    {"vmdk", "-O vmdk -o subformat=streamOptimized", room},
		"zlib 2M": {"qcow2", "-O qcow2 -c -o cluster_size=2M", 3 << 20},
		"zstd 2M": {"qcow2", "-O qcow2 -c -o cluster_size=2M,compression_type=zstd", 6 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			disk := content(8 << 20)
			write(t, dir, "disk.raw", disk)
			qemuImg(t, dir, "convert -t unsafe -f raw "+test.convert+" disk.raw image")
			checkMemory(t, test.limit, func() {
				i := open(t, dir, "image", test.format)
				got := make([]byte, 100_000)
				for at := 0; at < len(disk); at += len(got) {
					n, _ := i.ReadAt(got, int64(at))
					compare(t, "packed", got[:n], disk[at:], at)
				}
			})
			runtime.KeepAlive(disk)
		})
	}
}

// TestConcurrentReads reads one image in several goroutines.
func TestConcurrentReads(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"overlay.qcow2", "zlib.qcow2"} {
		write(t, dir, name, goldenFile(t, name))
	}
	i, want := open(t, dir, "overlay.qcow2", "qcow2"), goldenDisk()
	goldenChange(want)
	var group sync.WaitGroup
	for n := range 8 {
		group.Go(func() {
			got := make([]byte, 3000)
			for at := n * 1000; at+len(got) < len(want); at += 4321 {
				if _, err := i.ReadAt(got, int64(at)); err != nil || !bytes.Equal(got, want[at:at+len(got)]) {
					t.Errorf("read at %d: %v", at, err)
				}
			}
		})
	}
	group.Wait()
}
