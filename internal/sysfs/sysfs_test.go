package sysfs

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

func TestFS(t *testing.T) {
	dir := t.TempDir()
	for name, size := range map[string]int{"empty": 0, "a": 1, "page": 4096, "more": 10000} {
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte("x"), size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(FS(dir), "empty", "a", "page", "more", "link"); err != nil {
		t.Error(err)
	}
	if _, err := FS(dir).ReadFile("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := FS(dir).ReadFile("../a"); !errors.Is(err, fs.ErrInvalid) {
		t.Error(err)
	}
}

// TestThisMachine reads the same as package os.
func TestThisMachine(t *testing.T) {
	names, err := filepath.Glob("/sys/class/net/*/uevent")
	if err != nil || len(names) == 0 {
		t.Skip("no /sys here")
	}
	for _, name := range names {
		want, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		if got, err := FS("/sys").ReadFile(name[len("/sys/"):]); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
}
