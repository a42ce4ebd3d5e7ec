package output

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/loopdev"
	"github.com/zerodisc/zerodisc/internal/testns"
)

const diskSize = 8 << 20

// testDisk is a loop device over a file of diskSize bytes. It skips the test where this machine has none to give.
func testDisk(t *testing.T) (device, backing string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a loop device needs root")
	}
	backing = put(t, filepath.Join(t.TempDir(), "disk"), strings.Repeat("old ", diskSize/4))
	device, err := loopdev.Attach(backing, false)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "-d", device).CombinedOutput(); err != nil {
			t.Errorf("losetup: %v: %s", err, out)
		}
	})
	return device, backing
}

func mustRead(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDisk(t *testing.T) {
	device, backing := testDisk(t)
	link := filepath.Join(t.TempDir(), "by-id")
	if err := os.Symlink(device, link); err != nil {
		t.Fatal(err)
	}
	old := mustRead(t, backing)
	for _, test := range []struct {
		name  string
		file  File
		write func(io.Writer) error
		size  int64
		want  []string // in the error
	}{
		{"no image", File{Name: device, Erase: true}, text("new"), 3, []string{"it is a block device; name a file"}},
		{"not asked for", File{Name: link, Image: true}, text("new"), 3,
			[]string{link, "it is a disk: " + filepath.Base(device), "-erase overwrites it"}},
		{"too large", File{Name: device, Image: true, Erase: true}, text("new"), diskSize + 1,
			[]string{"8.4 MB (8388608 bytes) and the image 8.4 MB (8388609 bytes); nothing was written"}},
	} {
		err := test.file.Write(test.size, test.write)
		for _, want := range test.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want mention of %q", test.name, err, want)
			}
		}
		if mustRead(t, backing) != old {
			t.Fatalf("%s: the disk has changed", test.name)
		}
	}
	f := File{Flag: "-o", Name: link, Image: true, Erase: true}
	if err := f.Check(); err != nil || mustRead(t, backing) != old {
		t.Fatalf("Check: %v, or the disk has changed", err)
	}
	if err := f.Write(3, text("new")); err != nil || mustRead(t, backing) != "new"+old[3:] {
		t.Errorf("%v, or the disk does not hold the image", err)
	}
	if info, err := os.Lstat(device); err != nil || info.Mode()&os.ModeDevice == 0 {
		t.Errorf("the device is %v, %v", info, err)
	}
	broken := errors.New("no more")
	err := f.Write(3, func(io.Writer) error { return broken })
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "part of the image") {
		t.Errorf("error is %v", err)
	}
	other := File{Name: backing, Image: true}
	if !f.OnDisk(device) || f.OnDisk(backing) || f.OnDisk("/dev/null") || other.OnDisk(device) {
		t.Error("it does not know its disk")
	}
}

// TestDiskInUse mounts the disk: not even -erase may take it away.
func TestDiskInUse(t *testing.T) {
	device, backing := testDisk(t)
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", device).CombinedOutput(); err != nil {
		t.Skipf("mkfs.ext4: %v: %s", err, out)
	}
	testns.OwnMounts(t)
	target := t.TempDir()
	if err := unix.Mount(device, target, "ext4", unix.MS_RDONLY, "noload"); err != nil {
		t.Skip(err)
	}
	defer unix.Unmount(target, 0)
	old := []byte(mustRead(t, backing))
	f := File{Flag: "-o", Name: device, Image: true, Erase: true}
	for what, err := range map[string]error{"Check": f.Check(), "Write": f.Write(3, text("new"))} {
		if err == nil || !strings.Contains(err.Error(), "it is in use") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if !bytes.Equal([]byte(mustRead(t, backing)), old) {
		t.Error("the disk has changed")
	}
}

// TestMountPoint has a directory that a container was given: part of the same file system.
func TestMountPoint(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	testns.OwnMounts(t)
	dir := t.TempDir()
	if err := unix.Mount(t.TempDir(), dir, "", unix.MS_BIND, ""); err != nil {
		t.Skip(err)
	}
	defer unix.Unmount(dir, 0)
	if err := testDir(dir).Check(); err == nil || !strings.Contains(err.Error(), "it is a mount point") {
		t.Errorf("error is %v", err)
	}
	if err := testDir(filepath.Join(dir, "tree")).Check(); err != nil {
		t.Error(err)
	}
}
