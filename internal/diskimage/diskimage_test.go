package diskimage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// content makes a disk of stretches that are zero, cannot be compressed, or can. All is a function of size.
func content(size int) []byte {
	random := rand.New(rand.NewPCG(uint64(size), 1))
	disk := make([]byte, size)
	for at := 0; at < size; {
		stretch := disk[at:min(size, at+1+random.IntN(size/20+1))]
		switch random.IntN(3) {
		case 0: // zeros
		case 1:
			for i := range stretch {
				stretch[i] = byte(random.Uint32())
			}
		case 2:
			copy(stretch, strings.Repeat(fmt.Sprintf("text at %d of a disk, ", at), len(stretch)/16+1))
		}
		at += len(stretch)
	}
	return disk
}

// open opens an image in dir, which ends with the test.
func open(t testing.TB, dir, name, format string) *Image {
	t.Helper()
	i, err := tryOpen(t, dir, name, format)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	return i
}

func tryOpen(t testing.TB, dir, name, format string) (*Image, error) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	return Open(root, name, format)
}

// check reads all of an image in three ways and compares it with want. It returns how many runs there are of each kind.
func check(t *testing.T, i *Image, want []byte) map[Kind]int {
	t.Helper()
	if i.Size() != int64(len(want)) {
		t.Fatalf("the disk has %d bytes, want %d", i.Size(), len(want))
	}
	checkReads(t, i, want)
	return checkRuns(t, i, want)
}

func checkReads(t *testing.T, i *Image, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := i.ReadAt(got, 0); err != nil || n != len(got) {
		t.Fatalf("read all: %d bytes, %v", n, err)
	}
	compare(t, "read at once", got, want, 0)
	if n, err := i.ReadAt(make([]byte, 10), int64(len(want))-3); n != min(3, len(want)) || !errors.Is(err, io.EOF) {
		t.Errorf("read over the end: %d bytes, %v", n, err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		from := random.IntN(len(want))
		part := make([]byte, 1+random.IntN(min(len(want)-from, 10_000)))
		if n, err := i.ReadAt(part, int64(from)); err != nil || n != len(part) {
			t.Fatalf("read %d bytes at %d: %d bytes, %v", len(part), from, n, err)
		}
		compare(t, "read a part", part, want[from:], from)
	}
}

// checkRuns reads the runs as the block server does: from their files.
func checkRuns(t *testing.T, i *Image, want []byte) map[Kind]int {
	t.Helper()
	kinds := map[Kind]int{}
	for at := int64(0); at < i.Size(); {
		run, err := i.Lookup(at, 1<<62)
		if err != nil || run.Length < 1 || run.Length > i.Size()-at {
			t.Fatalf("look up %d: %+v, %v", at, run, err)
		}
		kinds[run.Kind]++
		got := make([]byte, run.Length)
		switch run.Kind {
		case Data:
			_, err = run.File.ReadAt(got, run.Offset)
		case Packed:
			_, err = i.ReadAt(got, at)
		}
		if err != nil {
			t.Fatalf("read %+v: %v", run, err)
		}
		compare(t, fmt.Sprintf("run %+v", run), got, want[at:], int(at))
		at += run.Length
	}
	if run, err := i.Lookup(i.Size(), 1); !errors.Is(err, io.EOF) {
		t.Errorf("look up the end: %+v, %v", run, err)
	}
	return kinds
}

// compare holds got to the beginning of want. at is where on the disk it is.
func compare(t *testing.T, what string, got, want []byte, at int) {
	t.Helper()
	want = want[:len(got)]
	if bytes.Equal(got, want) {
		return
	}
	for n := range got {
		if got[n] != want[n] {
			t.Fatalf("%s: byte %d of the disk is %#x, want %#x", what, at+n, got[n], want[n])
		}
	}
}

// tool runs a program in dir. The test is skipped where it is not installed.
func tool(t testing.TB, dir, pkg string, command ...string) string {
	t.Helper()
	if _, err := exec.LookPath(command[0]); err != nil {
		t.Skipf("%s is not installed (Debian package %s)", command[0], pkg)
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
	return string(out)
}

// qemuImg runs qemu-img with the words of command.
func qemuImg(t testing.TB, dir, command string) {
	t.Helper()
	tool(t, dir, "qemu-utils", append([]string{"qemu-img"}, strings.Fields(command)...)...)
}

// qemuIO lets qemu-io write to an image.
func qemuIO(t testing.TB, dir, format, name string, commands ...string) {
	t.Helper()
	line := []string{"qemu-io", "-f", format, "-d", "unmap", "-t", "unsafe"}
	for _, c := range commands {
		line = append(line, "-c", c)
	}
	if out := tool(t, dir, "qemu-utils", append(line, name)...); strings.Contains(out, "failed") {
		t.Fatalf("qemu-io: %s", out)
	}
}

// write writes a file into dir.
func write(t testing.TB, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, dir, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
