package statevolume

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/loopdev"
)

// TestRealVolume mounts a file system of the real mke2fs, one whose journal was not written back, and a damaged one.
func TestRealVolume(t *testing.T) {
	image := filepath.Join(t.TempDir(), "state.img")
	tool(t, "mke2fs", "-q", "-F", "-t", "ext4", "-L", "ZERODISC-STATE", image, "64M")
	dir := filepath.Join(t.TempDir(), "state")
	k := &Linux{}
	inLoop(t, image, func(device string) {
		mount(t, device, dir, false)
		now, err := k.Look(dir)
		if err != nil || now.ReadOnly || now.Errors != 0 || now.Bytes < 32<<20 || now.Free > now.Bytes {
			t.Errorf("%+v, %v", now, err)
		}
		if err := os.WriteFile(filepath.Join(dir, "kept"), []byte("kept"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := k.Unmount(dir); err != nil {
			t.Error(err)
		}
		if _, err := k.Look(dir); !errors.Is(err, ErrNotMounted) {
			t.Errorf("look at what is not mounted: %v", err)
		}
		mount(t, device, dir, true)
		if now, err := k.Look(dir); err != nil || !now.ReadOnly {
			t.Errorf("%+v, %v", now, err)
		}
		if text, err := os.ReadFile(filepath.Join(dir, "kept")); err != nil || string(text) != "kept" {
			t.Errorf("%q, %v", text, err)
		}
		if err := k.Unmount(dir); err != nil {
			t.Error(err)
		}
	})
	tool(t, "debugfs", "-w", "-R", "set_super_value error_count 5", image)
	inLoop(t, image, func(device string) {
		mount(t, device, dir, false)
		if now, err := k.Look(dir); err != nil || now.Errors != 5 {
			t.Errorf("%+v, %v", now, err)
		}
		if err := k.Unmount(dir); err != nil {
			t.Error(err)
		}
	})
}

func mount(t *testing.T, device, dir string, readOnly bool) {
	t.Helper()
	err := (&Linux{}).Mount(device, Volume{}, dir, readOnly)
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EPERM) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// inLoop has a file as a block device.
func inLoop(t *testing.T, name string, do func(device string)) {
	t.Helper()
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	loop, err := loopdev.Open(file, false)
	if err != nil {
		t.Skip(err)
	}
	defer loop.Close()
	do(loop.Name())
}

// tool runs a program of the host's, and skips the test where there is none.
func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + name); err != nil {
			t.Skip(err)
		}
	}
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil || strings.Contains(string(out), "nvalid") {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}
