package qemu

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestModuleRoot(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(root, "test", "vm", "qemu"); here != want {
		t.Errorf("root %s, but this is %s", root, here)
	}
	t.Chdir(t.TempDir())
	if root, err := moduleRoot(); err == nil {
		t.Errorf("a root outside these sources: %s", root)
	}
}

// TestEmulatorCommand checks that a machine's options do not end up in the emulator's own.
func TestEmulatorCommand(t *testing.T) {
	argv := append(make([]string, 0, 8), "sh", "script")
	e := Emulator{argv: argv}
	first := e.Command(t.Context(), "-m", "64").Args
	second := e.Command(t.Context(), "-smp", "2").Args
	if !slices.Equal(second, []string{"sh", "script", "-smp", "2"}) {
		t.Errorf("second command %q", second)
	}
	if want := []string{"sh", "script", "-m", "64"}; !slices.Equal(first, want) {
		t.Errorf("first command %q, want %q", first, want)
	}
}
