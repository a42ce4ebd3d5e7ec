package initramfs

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/zerodisc/zerodisc/internal/atomicfile"
	"github.com/zerodisc/zerodisc/internal/payload"
)

// withTool are inputs whose payload lists a package of the given hash, without its files.
func withTool(dir, pkg, sum string) Inputs {
	return Inputs{CacheDir: dir, Tree: &payload.Tree{
		Resolution: &payload.Resolution{Packages: []payload.Package{{Name: pkg, SHA256: sum}}},
	}}
}

func TestImageName(t *testing.T) {
	a, b := NewArchive(), NewArchive()
	b.Text("/x", "", 0o644)
	seen := map[string]int{}
	for i, test := range []struct {
		sum     string
		options []string
		archive *Archive
	}{
		{"one", []string{"-19"}, a}, {"two", []string{"-19"}, a}, {"one", []string{"-3"}, a}, {"one", []string{"-19"}, b},
	} {
		in := withTool("/cache", "zstd", test.sum)
		name, err := in.imageName("zstd", test.options, test.archive.Write, ".zst")
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[name]; ok || filepath.Dir(name) != "/cache/images" || filepath.Ext(name) != ".zst" {
			t.Errorf("case %d: %s (case %d)", i, name, other)
		}
		seen[name] = i
	}
	if _, err := withTool("/cache", "zstd", "one").imageName("squashfs-tools", nil, a.Write, ""); err == nil {
		t.Error("no error without the tool's package")
	}
}

// What one zstd has compressed does not stand for what another would.
func TestCompressAsksForTheTool(t *testing.T) {
	dir, a := t.TempDir(), NewArchive()
	name, err := withTool(dir, "zstd", "one").imageName("zstd", zstdOptions, a.Write, ".cpio.zst")
	if err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Write(name, func(*os.File) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if got, err := withTool(dir, "zstd", "one").compress(t.Context(), a); got != name || err != nil {
		t.Errorf("the file that is kept: %s, %v, want %s", got, err, name)
	}
	if got, err := withTool(dir, "zstd", "two").compress(t.Context(), a); err == nil {
		t.Errorf("another zstd: %s, want a try to run it", got)
	}
}
