package disc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTakeGuests holds other guests off the demo's places; package guestdir tests the rest.
func TestTakeGuests(t *testing.T) {
	for _, name := range demoGuests {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "a.cfg"), []byte("kernel = \"dom0\"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := takeGuests([]string{dir})
		for _, want := range []string{
			"the name \"" + name + "\" is that of a guest of the demo", "/guests/" + name + ", is taken by the demo",
		} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("takeGuests: %v, want mention of %q", err, want)
			}
		}
	}
}
