package media

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/loopdev"
	"github.com/zerodisc/zerodisc/internal/testns"
)

// TestNothingIsWritten searches real file systems that were in use when the machine lost power:
// entries in the journal, a deleted file that was open. A repair would be a write.
func TestNothingIsWritten(t *testing.T) {
	for _, test := range []struct {
		name string
		size int64 // MiB
		make []string
	}{
		{"ext2", 16, []string{"mkfs.ext2", "-q", "-F"}},
		{"ext4", 16, []string{"mkfs.ext4", "-q", "-F"}},
		{"xfs", 300, []string{"mkfs.xfs", "-q", "-f"}},
		{"btrfs", 128, []string{"mkfs.btrfs", "-q", "-f"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			testns.RunAsRoot(t, syscall.CLONE_NEWNS, func(t *testing.T) {
				nothingIsWritten(t, test.name, test.size, test.make)
			})
		})
	}
}

func nothingIsWritten(t *testing.T, kind string, size int64, mkfs []string) {
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, size<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs[0], append(mkfs[1:], image)...).CombinedOutput(); err != nil {
		t.Skipf("%v: %s", err, out)
	}
	image = lostPower(t, kind, image, map[string][]byte{"isos/z.iso": discImage(boot.VolumeID, "b2")})
	before := sum(t, image)

	f, mounts := newFinder(t, nil, image)
	f.MountHost = mountHost
	f.Unmount = func(dir string) error {
		if dir == f.HostDir {
			return unix.Unmount(dir, 0)
		}
		return mounts.unmount(dir)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got, err := f.Find(ctx, filepath.Join(t.TempDir(), "medium"))
	if err != nil || got != (Medium{Device: image, File: "/isos/z.iso", HostDir: f.HostDir}) {
		t.Fatalf("Find = %v, %v", got, err)
	}
	if err := os.Remove(filepath.Join(f.HostDir, "isos/z.iso")); !errors.Is(err, unix.EROFS) {
		t.Errorf("a write while it is mounted: %v, want EROFS", err)
	}
	if err := f.Unmount(f.HostDir); err != nil {
		t.Error(err)
	}
	if sum(t, image) != before {
		t.Error("the file system was written to")
	}
}

// lostPower writes files to the file system in image, then returns a copy of it from the middle of
// a later use.
func lostPower(t *testing.T, kind, image string, files map[string][]byte) string {
	t.Helper()
	inUse(t, kind, image, func(dir string) {
		for name, content := range files {
			if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	})
	after := filepath.Join(t.TempDir(), "after")
	inUse(t, kind, image, func(dir string) {
		deleted, err := os.Create(filepath.Join(dir, "deleted"))
		if err != nil {
			t.Fatal(err)
		}
		defer deleted.Close()
		content := make([]byte, 1<<20)
		_, writeErr := deleted.Write(content)
		err = errors.Join(writeErr, os.Remove(deleted.Name()), unix.Syncfs(int(deleted.Fd())))
		_, writeErr = deleted.Write(content) // what follows Syncfs is in the journal only
		if err := errors.Join(err, writeErr, deleted.Sync()); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("cp", image, after).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	})
	return after
}

// inUse calls use with the directory where the file system in image is mounted.
func inUse(t *testing.T, kind, image string, use func(dir string)) {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", kind, "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Skipf("mount: %v: %s", err, out)
	}
	use(dir)
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
}

// sum returns the SHA-256 sum of a file.
func sum(t *testing.T, name string) [sha256.Size]byte {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// TestLargeSectors mounts a medium on a disk whose sectors are larger than the medium's.
func TestLargeSectors(t *testing.T) {
	testns.RunAsRoot(t, syscall.CLONE_NEWNS, func(t *testing.T) {
		dir := t.TempDir()
		image, medium := filepath.Join(dir, "image"), filepath.Join(dir, "medium")
		built := filepath.Join(dir, "BUILT")
		if err := errors.Join(os.Mkdir(medium, 0o755), os.WriteFile(built, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
		mkfs := exec.Command("xorriso", "-as", "mkisofs", "-quiet", "-o", image, built)
		if out, err := mkfs.CombinedOutput(); err != nil {
			t.Skipf("%v: %s", err, out)
		}
		file, err := os.Open(image)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		disk, err := loopdev.Open(file, true)
		if err != nil {
			t.Skip(err)
		}
		defer disk.Close()
		if err := unix.IoctlSetInt(int(disk.Fd()), unix.LOOP_SET_BLOCK_SIZE, 4096); err != nil {
			t.Fatal(err)
		}
		if err := mountDevice(disk.Name(), medium); errors.Is(err, unix.ENODEV) {
			t.Skip("this kernel has no ISO 9660")
		} else if err != nil {
			t.Fatal(err)
		}
		if found, err := filepath.Glob(filepath.Join(medium, "*")); err != nil || len(found) != 1 {
			t.Errorf("it has %q, %v", found, err)
		}
		if err := unix.Unmount(medium, 0); err != nil {
			t.Error(err)
		}
	})
}
