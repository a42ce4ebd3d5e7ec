package writelog

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// made makes a log with the real QEMU: two writes, a flush, and two writes that are in no flush.
func made(t *testing.T) (name string, before []byte) {
	t.Helper()
	tool, err := exec.LookPath("qemu-io")
	if err != nil {
		t.Skip(err)
	}
	disk, log := filepath.Join(t.TempDir(), "disk"), filepath.Join(t.TempDir(), "log")
	before = bytes.Repeat([]byte{9}, 64<<10)
	for file, data := range map[string][]byte{disk: before, log: nil} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	options := "driver=blklogwrites,file.driver=file,file.filename=" + disk + ",log.driver=file,log.filename=" + log
	out, err := exec.Command(tool, "-t", "writeback", "--image-opts", options, "-c", "write -P 1 4096 4096",
		"-c", "write -P 2 8192 512", "-c", "flush", "-c", "write -P 3 0 1024", "-c", "discard 4096 4096",
		"-c", "write -P 4 1024 512").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return log, before
}

// memory is a disk in memory.
type memory []byte

func (m memory) WriteAt(p []byte, at int64) (int, error) { return copy(m[at:], p), nil }

func TestCut(t *testing.T) {
	name, before := made(t)
	log, entries, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var writes []int // entries before which there were so many writes
	flush := 0
	for i, e := range entries {
		if e.Length > 0 && !e.Discard {
			writes = append(writes, i)
		}
		if e.Flush && flush == 0 {
			flush = i
		}
	}
	if len(writes) != 4 || flush != writes[1]+1 {
		t.Fatalf("%+v", entries)
	}
	seen := map[[3]byte]bool{}
	for seed := range uint64(100) {
		disk := memory(bytes.Clone(before))
		if err := Cut(disk, log, entries, writes[3]+1, rand.New(rand.NewPCG(seed, 0))); err != nil {
			t.Fatal(err)
		}
		if disk[4096] != 1 || disk[8191] != 1 || disk[8192] != 2 || disk[8704] != 9 {
			t.Fatal("what was flushed is lost, or something else is there")
		}
		seen[[3]byte{disk[0], disk[1024], disk[2048]}] = true
	}
	if len(seen) != 4 {
		t.Errorf("of two writes that were not flushed there are %d outcomes, want 4: %v", len(seen), seen)
	}
	disk := memory(bytes.Clone(before))
	if err := Cut(disk, log, entries, flush+1, rand.New(rand.NewPCG(1, 0))); err != nil || disk[0] != 9 {
		t.Errorf("%v, %d", err, disk[0])
	}
}

// TestTorn reads logs that end anywhere: QEMU was killed.
func TestTorn(t *testing.T) {
	name, _ := made(t)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	last := 0
	for size := 512; size <= len(data); size += 512 {
		entries, err := Read(bytes.NewReader(data[:size]), int64(size))
		if err != nil || len(entries) < last {
			t.Fatalf("%d bytes: %d entries after %d, %v", size, len(entries), last, err)
		}
		last = len(entries)
	}
	if _, err := Read(bytes.NewReader(make([]byte, 1024)), 1024); err == nil {
		t.Error("zeros are a log")
	}
}
