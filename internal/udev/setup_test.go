package udev

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestWatch: a disk that somebody has written to is reported, one that was only read is not.
func TestWatch(t *testing.T) {
	sys, dev := t.TempDir(), t.TempDir()
	for _, name := range []string{"sda", "sdb"} {
		if err := os.MkdirAll(filepath.Join(sys, "devices", name), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{filepath.Join(sys, "devices", name, "uevent"), filepath.Join(dev, name)} {
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	w, err := NewWatch(sys, dev)
	if err != nil {
		t.Fatal(err)
	}
	defer w.file.Close()
	w.add("/devices/sda", "sda")
	w.add("/devices/sdb", "sdb")
	w.add("/devices/sdc", "sdc")
	if _, err := os.ReadFile(filepath.Join(dev, "sdb")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dev, "sda"), []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	said := func(name string) string {
		text, err := os.ReadFile(filepath.Join(sys, "devices", name, "uevent"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for end := time.Now().Add(10 * time.Second); said("sda") == "" && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if said("sda") != "change" || said("sdb") != "" {
		t.Errorf("sda %q, sdb %q", said("sda"), said("sdb"))
	}
	w.remove("/devices/sda")
	w.remove("/devices/sdc")
	if len(w.devices) != 1 || len(w.watches) != 1 {
		t.Errorf("%v, %v", w.devices, w.watches)
	}
}

func TestQueue(t *testing.T) {
	run := filepath.Join(t.TempDir(), "udev")
	queue := Queue(run, func(err error) { t.Error(err) })
	queue(true)
	if _, err := os.Stat(filepath.Join(run, "queue")); err != nil {
		t.Error(err)
	}
	queue(false)
	if _, err := os.Stat(filepath.Join(run, "queue")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	queue(false)
}

// TestGrantAll gives nodes of a directory their modes; those that are none are left alone.
func TestGrantAll(t *testing.T) {
	dev := t.TempDir()
	if err := os.WriteFile(filepath.Join(dev, "sda"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := GrantAll(dev); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(filepath.Join(dev, "sda")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
