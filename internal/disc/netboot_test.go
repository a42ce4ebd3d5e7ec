package disc

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/internal/sha256sums"
)

func TestOnlyANetbootTreeIsReplaced(t *testing.T) {
	full := t.TempDir()
	file := filepath.Join(full, "thesis.tex")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	old := t.TempDir()
	if err := os.WriteFile(filepath.Join(old, ipxeScript), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, dir string
		refused   bool
	}{
		{"new", filepath.Join(full, "new"), false},
		{"empty", t.TempDir(), false},
		{"an older tree", old, false},
		{"somebody's files", full, true},
		{"a file", file, true},
	} {
		if err := checkReplaceable(test.dir); (err != nil) != test.refused || err != nil && !strings.Contains(err.Error(), test.dir) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// TestNetbootSums holds the tree's list to the package that reads lists, a name with escapes included.
func TestNetbootSums(t *testing.T) {
	dir := t.TempDir()
	var want []sha256sums.Sum
	for _, name := range []string{"guests/a/line\nfeed", "vmlinuz"} {
		name := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, sha256sums.Sum{Path: rel, SHA256: sha256.Sum256([]byte(name))})
	}
	if err := writeSums(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, sha256sums.Name))
	if err != nil {
		t.Fatal(err)
	}
	got, err := sha256sums.Parse(bytes.NewReader(text))
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("the list is %q, %v; want %q", text, err, want)
	}
}
