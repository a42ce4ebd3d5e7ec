package initramfs

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/zerodisc/zerodisc/internal/buildcache"
	"github.com/zerodisc/zerodisc/internal/payload"
)

// TestImageKey changes, one by one, what an image depends on.
func TestImageKey(t *testing.T) {
	a, b := NewArchive(), NewArchive()
	b.Text("/x", "", 0o644)
	tool, library := payload.Package{Name: "zstd", SHA256: "1"}, payload.Package{Name: "libzstd1", SHA256: "2"}
	newer := payload.Package{Name: "libzstd1", SHA256: "3"}
	seen := map[string]int{}
	for i, test := range []struct {
		packages []payload.Package
		tool     string
		options  []string
		archive  *Archive
	}{
		{[]payload.Package{tool, library}, "zstd", []string{"-19"}, a},
		{[]payload.Package{tool, newer}, "zstd", []string{"-19"}, a},
		{[]payload.Package{tool, library}, "unzstd", []string{"-19"}, a},
		{[]payload.Package{tool, library}, "zstd", []string{"-3"}, a},
		{[]payload.Package{tool, library}, "zstd", []string{"-19"}, b},
	} {
		key, err := imageKey(test.packages, test.tool, test.options, test.archive.Write)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[key]; ok {
			t.Errorf("case %d: %s (case %d)", i, key, other)
		}
		seen[key] = i
	}
}

// TestModulesKey wants the code that strips the modules to be a part of their key.
func TestModulesKey(t *testing.T) {
	key := modulesKey("code", "kernel", false)
	for _, other := range []string{
		modulesKey("another", "kernel", false), modulesKey("code", "newer", false), modulesKey("kernel", "code", false),
		modulesKey("code", "kernel", true),
	} {
		if other == key {
			t.Errorf("the key of two sets of modules is %s", key)
		}
	}
}

// TestRewriteIsKept has the commands rewritten once, and again when a rewritten one is damaged.
func TestRewriteIsKept(t *testing.T) {
	cache, err := buildcache.Open(t.Context(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	in := Inputs{Source: "..", Go: compiler(t), Cache: cache}
	rewritten := func() (file string, info os.FileInfo) {
		t.Helper()
		dir, err := in.rewriteCommands(t.Context(), []string{uroot + "core/true"})
		if err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(dir, "true", "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("rewritten are %v, %v", files, err)
		}
		info, err = os.Stat(files[0])
		if err != nil {
			t.Fatal(err)
		}
		return files[0], info
	}
	file, first := rewritten()
	if _, again := rewritten(); !os.SameFile(first, again) {
		t.Error("rewritten again for nothing")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	damaged := append([]byte{text[0] ^ 1}, text[1:]...)
	if err := os.WriteFile(file, damaged, 0o644); err != nil {
		t.Fatal(err)
	}
	rewritten()
	if now, err := os.ReadFile(file); string(now) != string(text) {
		t.Errorf("the damaged command is used: %v", err)
	}
}
