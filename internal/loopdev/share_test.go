package loopdev

import (
	"bytes"
	"errors"
	"math/rand"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
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
