package initramfs

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestPrune keeps what was used last, and what is of another kind.
func TestPrune(t *testing.T) {
	dir := t.TempDir()
	for i := range keep + 3 {
		name := filepath.Join(dir, fmt.Sprintf("image-%02d", i))
		if err := os.Mkdir(name, 0o755); err != nil {
			t.Fatal(err)
		}
		old := time.Now().Add(time.Duration(i-100) * time.Hour)
		if err := os.Chtimes(name, old, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "other"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if ok, err := kept(filepath.Join(dir, "image-00")); !ok || err != nil {
		t.Fatalf("kept: %v, %v", ok, err)
	}
	if ok, err := kept(filepath.Join(dir, "image-99")); ok || err != nil {
		t.Fatalf("kept what is not there: %v, %v", ok, err)
	}
	if err := prune(dir, "image-"); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != keep+1 || filepath.Base(left[0]) != "image-00" || filepath.Base(left[1]) != "image-04" {
		t.Errorf("left are %q, want the %d used last, of those image-00, and other", left, keep)
	}
}
