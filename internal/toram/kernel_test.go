package toram

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/loopdev"
	"github.com/zerodisc/zerodisc/internal/testns"
)

// mountTmpfs mounts a memory file system with files at dir.
func mountTmpfs(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := (Linux{}).MountMemory(dir, 16<<20); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	for name, content := range files {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := (Linux{}).Protect(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o600); !errors.Is(err, unix.EROFS) {
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
		mountTmpfs(t, medium, map[string][]byte{name: bytes.Repeat([]byte{1}, 1<<20)})
		mountTmpfs(t, next, map[string][]byte{name: bytes.Repeat([]byte{2}, 1<<20)})
		loop := openLoop(t, filepath.Join(medium, name))
		var reopened string
		kernel := Linux{Reopen: func(dir string) { reopened = dir }, Log: slog.Default()}
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

// TestReplaceLacksAFile leaves all as it was, the disk whose file is there too.
func TestReplaceLacksAFile(t *testing.T) {
	testns.RunAsRoot(t, unix.CLONE_NEWNS, func(t *testing.T) {
		dir := t.TempDir()
		medium, next := filepath.Join(dir, "medium"), filepath.Join(dir, "next")
		block := make([]byte, 4096)
		mountTmpfs(t, medium, map[string][]byte{"a.img": block, "disk.img": block, "z.img": block})
		mountTmpfs(t, next, map[string][]byte{"a.img": block, "z.img": block[:512]})
		a := openLoop(t, filepath.Join(medium, "a.img"))
		openLoop(t, filepath.Join(medium, "disk.img"))
		openLoop(t, filepath.Join(medium, "z.img"))
		err := (Linux{}).Replace(next, medium)
		for _, want := range []string{"disk.img", "z.img has 512 bytes"} {
			if !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
		if _, err := os.Stat(filepath.Join(medium, "disk.img")); err != nil {
			t.Error(err)
		}
		backing, err := os.ReadFile("/sys/block/" + filepath.Base(a.Name()) + "/loop/backing_file")
		if err != nil || strings.Contains(string(backing), next) {
			t.Errorf("%s, %v", backing, err)
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
