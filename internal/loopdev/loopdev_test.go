package loopdev

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

	"github.com/zerodisc/zerodisc/internal/testns"
)

// ext4Image makes a file system in a file. It skips the test where this machine cannot mount it.
func ext4Image(t *testing.T) *os.File {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	name := filepath.Join(t.TempDir(), "image")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if err := file.Truncate(8 << 20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", name).CombinedOutput(); err != nil {
		t.Skipf("mkfs.ext4: %v: %s", err, out)
	}
	return file
}

// mounted returns the source of the mount at target, "" for none.
func mounted(t *testing.T, target string) string {
	t.Helper()
	text, err := os.ReadFile("/proc/thread-self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); fields[1] == target {
			return fields[0]
		}
	}
	return ""
}

// sectors returns how large a block device's sectors are.
func sectors(t *testing.T, device string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/sys/class/block", filepath.Base(device), "queue/logical_block_size"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// TestSectors has a disk with sectors of 4,096 bytes, a file system mounted from it, and an image in that.
func TestSectors(t *testing.T) {
	image := ext4Image(t)
	tool := exec.Command("mkfs.ext4", "-q", "-F", "-b", "4096", image.Name())
	if out, err := tool.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	testns.OwnMounts(t)
	disk, err := Open(image, false)
	if err != nil {
		t.Skip(err)
	}
	defer disk.Close()
	if err := unix.IoctlSetInt(int(disk.Fd()), unix.LOOP_SET_BLOCK_SIZE, 4096); err != nil {
		t.Fatal(err)
	}
	target := t.TempDir()
	if err := unix.Mount(disk.Name(), target, "ext4", 0, ""); err != nil {
		t.Skip(err)
	}
	inside := filepath.Join(target, "image")
	if err := errors.Join(os.WriteFile(inside, nil, 0o600), os.Truncate(inside, 1<<20)); err != nil {
		t.Fatal(err)
	}
	loop, err := Attach(inside, true)
	if err != nil {
		t.Fatal(err)
	}
	if got := sectors(t, loop); got != "512" {
		t.Errorf("an image on that disk has sectors of %s bytes", got)
	}
	if err := errors.Join(Detach(loop), unix.Unmount(target, 0)); err != nil {
		t.Fatal(err)
	}
	for name, mount := range map[string]func() error{
		"directly": func() error { return Mount(disk, target, "ext4", 0, "noload") },
		"buffered": func() error { return MountBuffered(disk, target, "ext4", 0) },
	} {
		if err := mount(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := sectors(t, mounted(t, target)); got != "512" {
			t.Errorf("%s: what is mounted has sectors of %s bytes", name, got)
		}
		if err := unix.Unmount(target, 0); err != nil {
			t.Error(err)
		}
	}
}

func TestMountTakesItsLoopDeviceAlong(t *testing.T) {
	image := ext4Image(t)
	testns.OwnMounts(t)
	target := t.TempDir()
	err := Mount(image, target, "ext4", unix.MS_NODEV, "noload")
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EPERM) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	device := mounted(t, target)
	if _, err := os.Stat(filepath.Join(target, "lost+found")); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(target, "x"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("a write to the file system: %v, want EROFS", err)
	}
	if err := overwrite(device); err == nil {
		t.Errorf("%s could be written to", device)
	}
	if err := unix.Unmount(target, 0); err != nil {
		t.Fatal(err)
	}
	loop, err := os.Open(device)
	if err != nil {
		t.Fatal(err)
	}
	defer loop.Close()
	if info, err := unix.IoctlLoopGetStatus64(int(loop.Fd())); err == nil &&
		strings.Contains(unix.ByteSliceToString(info.File_name[:]), image.Name()) {
		t.Errorf("%s still has its file after the unmount", device)
	}
}

// overwrite writes to a device and past the page cache.
func overwrite(device string) error {
	f, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write(make([]byte, 4096))
	return errors.Join(err, f.Sync())
}

// What cannot be mounted leaves no loop device behind.
func TestMountOfWhatIsNoFileSystem(t *testing.T) {
	image := ext4Image(t)
	testns.OwnMounts(t)
	if _, err := image.WriteAt(make([]byte, 4096), 0); err != nil {
		t.Fatal(err)
	}
	err := Mount(image, t.TempDir(), "ext4", 0, "")
	if err == nil || !strings.Contains(err.Error(), image.Name()) {
		t.Fatalf("Mount = %v, want an error that names the file", err)
	}
	backed, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range backed {
		if text, _ := os.ReadFile(name); strings.TrimSpace(string(text)) == image.Name() {
			t.Errorf("%s has the file", name)
		}
	}
}

// A part of a part: the second device stands over a block device, as one over a disk does.
func TestOpenPart(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("loop devices need root")
	}
	name := filepath.Join(t.TempDir(), "disk")
	content := bytes.Repeat([]byte("0123456789abcdef"), 8<<10/16)
	for i := range 16 {
		content[i*512] = 'A' + byte(i)
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	disk, err := OpenPart(file, 0, 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.EPERM) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	part, err := OpenPart(disk, 1024, 2048)
	if err != nil {
		t.Fatal(err)
	}
	defer part.Close()
	if got, err := io.ReadAll(part); err != nil || !bytes.Equal(got, content[1024:3072]) {
		t.Errorf("read %d bytes, %v; want bytes 1024 to 3071 of the file", len(got), err)
	}
	for _, device := range []string{disk.Name(), part.Name()} {
		if err := overwrite(device); err == nil {
			t.Errorf("%s could be written to", device)
		}
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the file has changed, or %v", err)
	}
	other, err := os.Open(part.Name()) // as somebody who uses it
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	part.Close()
	disk.Close()
	if _, err := other.ReadAt(make([]byte, 512), 0); err != nil {
		t.Errorf("with the device in use: %v", err)
	}
	other.Close()
	for _, device := range []string{part.Name(), disk.Name()} {
		loop, err := os.Open(device)
		if err != nil {
			continue
		}
		defer loop.Close()
		if info, err := unix.IoctlLoopGetStatus64(int(loop.Fd())); err == nil &&
			unix.ByteSliceToString(info.File_name[:]) == name {
			t.Errorf("%s still has its file", device)
		}
	}
}
