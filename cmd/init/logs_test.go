package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A full file system froze the report: it was written at its changes only.
func TestLatestFileIsTriedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	name := filepath.Join(dir, "report")
	synctest.Test(t, func(t *testing.T) {
		f := &latestFile{name: name}
		f.set("one")
		f.set("two")
		time.Sleep(3 * retryAfter)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		time.Sleep(retryAfter)
		synctest.Wait()
		if text, err := os.ReadFile(name); string(text) != "two" || err != nil {
			t.Errorf("file has %q, %v", text, err)
		}
		f.set("three")
		if text, _ := os.ReadFile(name); string(text) != "three" {
			t.Errorf("file has %q", text)
		}
	})
}

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
