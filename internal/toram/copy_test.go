package toram

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/zerodisc/zerodisc/internal/memory"
)

// TestTwins keeps files with the same content once, and no others.
func TestTwins(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{"a": "same", "b": "same", "c": "else", "d": "other", "e": "", "f": ""} {
		if err := os.WriteFile(filepath.Join(from, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := &copier{
		from: openRoot(t, from), to: openRoot(t, to), files: new(memory.Ledger).Files("test"),
		tell: func(int64) {}, buffer: make([]byte, 6), bySize: map[int64][]string{},
	}
	info := map[string]os.FileInfo{}
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		if err := c.copy(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		want, _ := os.ReadFile(filepath.Join(from, name))
		got, err := os.ReadFile(filepath.Join(to, name))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
		if info[name], err = os.Stat(filepath.Join(to, name)); err != nil {
			t.Fatal(err)
		}
	}
	for pair, want := range map[string]bool{"ab": true, "ac": false, "cd": false, "ef": false} {
		if os.SameFile(info[pair[:1]], info[pair[1:]]) != want {
			t.Errorf("%s are one file: %v", pair, !want)
		}
	}
}

func openRoot(t *testing.T, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}
