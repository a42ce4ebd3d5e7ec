package loopdev

import (
	"bytes"
	"errors"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/testns"
)

// TestShare removes an image that is in use and that another file has within it.
func TestShare(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("loop devices need root")
	}
	dir := t.TempDir()
	image := make([]byte, 200<<10+300) // its size is no multiple of a sector
	rand.New(rand.NewSource(1)).Read(image)
	other := bytes.Clone(image)
	other[len(other)-1]++
	for name, content := range map[string][]byte{
		"image": image, "none": []byte("x"), "differs": append(make([]byte, 120), other...),
		"short": append(make([]byte, 120), image[:100<<10]...),
		"has":   append(append(make([]byte, 1244), image...), "behind it"...),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.Open(filepath.Join(dir, "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	loop, err := Open(file, true)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.EPERM) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer loop.Close()
	before := make([]byte, len(image)&^511)
	if _, err := loop.ReadAt(before[:4096], 0); err != nil {
		t.Fatal(err)
	}
	others := []string{filepath.Join(dir, "none"), filepath.Join(dir, "differs"), filepath.Join(dir, "short")}
	if got, err := Share(file.Name(), others); got != "" || err != nil {
		t.Fatalf("shared with %q, %v, where no file has it", got, err)
	}
	has := filepath.Join(dir, "has")
	if got, err := Share(file.Name(), append(others, has)); got != has || err != nil {
		t.Fatalf("shared with %q, %v, want %q", got, err, has)
	}
	if err := os.Truncate(file.Name(), 0); err != nil { // whoever still read it would notice
		t.Fatal(err)
	}
	if _, err := loop.ReadAt(before, 0); err != nil || !bytes.Equal(before, image[:len(before)]) {
		t.Errorf("the device reads something else now, or %v", err)
	}
	if got, err := Share(file.Name(), []string{has}); err == nil {
		t.Errorf("shared once more with %q", got)
	}
}

// TestShareMounted removes the image of a file system that is mounted and in use, as dom0's userland is.
func TestShareMounted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	tree, image, around := filepath.Join(dir, "tree"), filepath.Join(dir, "image"), filepath.Join(dir, "initrd.img")
	content := map[string][]byte{}
	for _, name := range []string{"open", "read later"} {
		content[name] = make([]byte, 1<<20)
		rand.New(rand.NewSource(int64(len(name)))).Read(content[name])
		if err := errors.Join(os.MkdirAll(tree, 0o755),
			os.WriteFile(filepath.Join(tree, name), content[name], 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("mksquashfs", tree, image, "-quiet", "-no-progress").CombinedOutput(); err != nil {
		t.Skipf("mksquashfs: %v: %s", err, out)
	}
	squashed, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	whole := append(append(make([]byte, 256), squashed...), "the next archive"...)
	if err := os.WriteFile(around, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	testns.OwnMounts(t)
	if err := MountImage(image, tree); err != nil {
		t.Skip(err) // this kernel has no squashfs
	}
	defer unix.Unmount(tree, unix.MNT_DETACH)
	open, err := os.Open(filepath.Join(tree, "open"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	begin := make([]byte, 4096)
	if _, err := open.ReadAt(begin, 0); err != nil {
		t.Fatal(err)
	}
	if got, err := Share(image, []string{around}); got != around || err != nil {
		t.Fatalf("shared with %q, %v", got, err)
	}
	if err := errors.Join(os.Truncate(image, 0), os.Remove(image)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 1<<20)
	if _, err := open.ReadAt(got, 0); err != nil || !bytes.Equal(got, content["open"]) {
		t.Errorf("the file that was open has other content, or %v", err)
	}
	for name, want := range content {
		if got, err := os.ReadFile(filepath.Join(tree, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s has other content, or %v", name, err)
		}
	}
}
