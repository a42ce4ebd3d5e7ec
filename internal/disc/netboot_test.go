package disc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
