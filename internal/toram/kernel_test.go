package toram

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/loopdev"
	"github.com/zerodisc/zerodisc/internal/testns"
)

// mountTmpfs mounts a memory file system with a file at dir.
func mountTmpfs(t *testing.T, dir, name string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := (Linux{}).MountMemory(dir, 16<<20); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (Linux{}).Protect(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("a write to what is for reading only: %v", err)
	}
}

// openLoop makes a file a block device, where this machine lets it.
func openLoop(t *testing.T, name string) *os.File {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	loop, err := loopdev.Open(file, true)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EPERM) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { loop.Close() })
	return loop
}

// TestReplace has a disk in use while the file system that it lies in is replaced.
func TestReplace(t *testing.T) {
	testns.RunAsRoot(t, unix.CLONE_NEWNS, func(t *testing.T) {
		dir := t.TempDir()
		medium, next := filepath.Join(dir, "medium"), filepath.Join(dir, "next")
		const name = "guests/web/disk.img"
		mountTmpfs(t, medium, name, bytes.Repeat([]byte{1}, 1<<20))
		mountTmpfs(t, next, name, bytes.Repeat([]byte{2}, 1<<20))
		loop := openLoop(t, filepath.Join(medium, name))
		var reopened string
		kernel := Linux{Reopen: func(dir string) { reopened = dir }}
		if err := kernel.Replace(next, medium); err != nil {
			t.Fatal(err)
		}
		block := make([]byte, 4096)
		if err := unix.IoctlSetInt(int(loop.Fd()), unix.BLKFLSBUF, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := loop.ReadAt(block, 8192); err != nil || block[0] != 2 {
			t.Errorf("the disk reads %d, %v", block[0], err)
		}
		if got, err := os.ReadFile(filepath.Join(medium, name)); err != nil || got[0] != 2 || reopened != medium {
			t.Errorf("%v; reopened %q", err, reopened)
		}
		mounts, _ := os.ReadFile("/proc/self/mounts")
		if strings.Contains(string(mounts), next) || strings.Count(string(mounts), medium+" ") != 1 {
			t.Errorf("mounts:\n%s", mounts)
		}
	})
}

// TestReplaceLacksAFile leaves all as it was.
func TestReplaceLacksAFile(t *testing.T) {
	testns.RunAsRoot(t, unix.CLONE_NEWNS, func(t *testing.T) {
		dir := t.TempDir()
		medium, next := filepath.Join(dir, "medium"), filepath.Join(dir, "next")
		mountTmpfs(t, medium, "disk.img", make([]byte, 4096))
		mountTmpfs(t, next, "other.img", make([]byte, 4096))
		openLoop(t, filepath.Join(medium, "disk.img"))
		err := (Linux{}).Replace(next, medium)
		if err == nil || !strings.Contains(err.Error(), "disk.img") {
			t.Errorf("%v", err)
		}
		if _, err := os.Stat(filepath.Join(medium, "disk.img")); err != nil {
			t.Error(err)
		}
	})
}

func TestReleaseSaysWhoUsesIt(t *testing.T) {
	testns.RunAsRoot(t, unix.CLONE_NEWNS, func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "disk")
		if err := os.WriteFile(name, make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		loop := openLoop(t, name)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := (Linux{}).Release(ctx, loop.Name()); err != nil {
			t.Errorf("it is only open: %v", err)
		}
		holder, err := unix.Open(loop.Name(), unix.O_RDONLY|unix.O_EXCL, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(holder)
		if err := (Linux{}).Release(ctx, loop.Name()); err == nil || !strings.Contains(err.Error(), "still in use") {
			t.Error(err)
		}
	})
}
