package main

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/testns"
)

// TestOnReadOnly asks about files of a file system before and after it is made read-only.
func TestOnReadOnly(t *testing.T) {
	testns.Run(t, unix.CLONE_NEWNS, func(t *testing.T) {
		dir := t.TempDir()
		file := filepath.Join(dir, "disk.img")
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
			t.Fatal(err)
		}
		defer unix.Unmount(dir, 0)
		if err := os.WriteFile(file, nil, 0o444); err != nil {
			t.Fatal(err)
		}
		if onReadOnly(file) {
			t.Error("a writable file system is taken for a read-only one")
		}
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		if !onReadOnly(file) || onReadOnly(file+".gone") || onReadOnly("/dev/null") {
			t.Error("a read-only file system is not told from others")
		}
	})
}
