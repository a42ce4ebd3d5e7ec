package initramfs

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestCosts splits the size of an image between what hardly gets smaller and what does.
func TestCosts(t *testing.T) {
	noise := make([]byte, 3*costBlock+1)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(noise)
	a := NewArchive()
	a.Text("modules/one.ko", string(noise), 0o644)
	a.Text("modules/two.ko", string(noise), 0o644)
	a.Text("lib/libx.so.1", string(make([]byte, costBlock)), 0o644)
	a.Text("bin/xl", string(bytes.Repeat([]byte("xl "), 1000)), 0o755)
	a.Link("bin/other", "xl")
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, make([]byte, 1_000_000), 0o644); err != nil {
		t.Fatal(err)
	}
	part := Part{File: image, archive: a, categories: map[string]string{"one.ko": "ethernet", "two.ko": "ethernet"}}
	costs, err := part.Costs(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var sum Cost
	for _, c := range costs {
		sum.Add(c)
	}
	if len(costs) != 3 || costs[0].Name != "modules: ethernet" || costs[0].Files != 2 || costs[0].Bytes < 990_000 {
		t.Errorf("costs are %+v, want the modules first, with nearly all", costs)
	}
	if want := int64(2*len(noise) + costBlock + 3000); sum.Plain != want || sum.Files != 4 {
		t.Errorf("%d files of %d bytes, want 4 of %d", sum.Files, sum.Plain, want)
	}
	if sum.Bytes > 1_000_000 || sum.Bytes < 1_000_000-3 {
		t.Errorf("the shares sum up to %d bytes, the image has 1000000", sum.Bytes)
	}
}
