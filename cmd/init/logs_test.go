package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWriteAtomicLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "report/x"), 0o755); err != nil { // which no file can replace
		t.Fatal(err)
	}
	if err := writeAtomic(filepath.Join(dir, "report"), "text"); err == nil {
		t.Fatal("no error")
	}
	if files, _ := filepath.Glob(dir + "/.*"); len(files) > 0 {
		t.Errorf("left behind: %s", strings.Join(files, " "))
	}
}
