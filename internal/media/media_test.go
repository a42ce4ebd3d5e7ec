package media

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/boot"
)

// disc writes a file that starts like a disc with the given label and returns its name.
func disc(t *testing.T, label string) string {
	t.Helper()
	image := make([]byte, 17*2048)
	copy(image[16*2048:], "\x01CD001\x01\x00")
	copy(image[16*2048+40:], label+strings.Repeat(" ", 32-len(label)))
	name := filepath.Join(t.TempDir(), "disc")
	if err := os.WriteFile(name, image, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// fakeMount makes dir look like the medium of the build id that ids names for the device.
func fakeMount(ids map[string]string) (func(device, dir string) error, func(dir string) error) {
	mount := func(device, dir string) error {
		at := filepath.Join(dir, boot.MediumIDDir)
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(at, ids[device]), nil, 0o600)
	}
	return mount, func(dir string) error { return os.RemoveAll(filepath.Join(dir, "boot")) }
}

func TestFindTakesOnlyTheMediumOfThisBuild(t *testing.T) {
	foreign, older, ours := disc(t, "DEBIAN"), disc(t, boot.VolumeID), disc(t, boot.VolumeID)
	changed := make(chan struct{}, 1)
	devices := []string{"/dev/does-not-exist", foreign, older}
	f := &Finder{ID: "b2", Changed: changed, Every: time.Hour, Devices: func() ([]string, error) { return devices, nil }}
	f.Mount, f.Unmount = fakeMount(map[string]string{older: "b1", ours: "b2"})
	dir := t.TempDir()

	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := f.Find(short, dir)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "another zerodisc build") {
		t.Fatalf("Find without the medium = %v, want a deadline that tells of the other build", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "boot")); err == nil {
		t.Error("the other build's medium was left mounted")
	}

	devices = append(devices, ours) // the stick is slow to appear
	changed <- struct{}{}
	if got, err := f.Find(t.Context(), dir); err != nil || got != ours {
		t.Errorf("Find = %q, %v, want %q", got, err, ours)
	}
}

// A drive that gets ready does so without an event.
func TestFindLooksAgainWithoutAnEvent(t *testing.T) {
	ours := disc(t, boot.VolumeID)
	looks := 0
	f := &Finder{ID: "b2", Every: time.Millisecond, Devices: func() ([]string, error) {
		if looks++; looks < 3 {
			return []string{"/dev/does-not-exist"}, nil
		}
		return []string{ours}, nil
	}}
	f.Mount, f.Unmount = fakeMount(map[string]string{ours: "b2"})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if got, err := f.Find(ctx, t.TempDir()); err != nil || got != ours {
		t.Errorf("Find = %q, %v, want %q", got, err, ours)
	}
	if New("b2", nil).Every != time.Second {
		t.Error("New does not look every second")
	}
}

func FuzzVolumeID(f *testing.F) {
	f.Add([]byte("\x01CD001\x01\x00"))
	f.Fuzz(func(t *testing.T, descriptor []byte) {
		name := filepath.Join(t.TempDir(), "d")
		if err := os.WriteFile(name, append(make([]byte, 16*2048), descriptor...), 0o600); err != nil {
			t.Fatal(err)
		}
		if label, err := volumeID(name); err == nil && len(label) > 32 {
			t.Errorf("label of %d bytes", len(label))
		}
	})
}
