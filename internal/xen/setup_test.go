package xen

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckControl(t *testing.T) {
	if err := checkControl("control_d\n"); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"", "\n", "control_domain"} {
		if err := checkControl(text); !errors.Is(err, ErrNotDom0) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestCheckNodesNamesEveryModule(t *testing.T) {
	root := t.TempDir()
	touch(t, filepath.Join(root, "dev/xen/evtchn"), "")
	touch(t, filepath.Join(root, "proc/xen/xsd_kva"), "")
	touch(t, filepath.Join(root, "proc/xen/xsd_port"), "")
	err := checkNodes(root)
	for _, module := range []string{"xen-gntdev", "xen-privcmd"} {
		if err == nil || !strings.Contains(err.Error(), module) {
			t.Errorf("%v does not name %s", err, module)
		}
	}
	if !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "evtchn") {
		t.Error(err)
	}
}

func TestMakeDirectories(t *testing.T) {
	root := t.TempDir()
	for range 2 {
		if err := makeDirectories(root); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]fs.FileMode{
		"run/xen":     fs.ModeDir | 0o700,
		"var/lock":    fs.ModeDir | fs.ModeSticky | 0o777,
		"var/lib/xen": fs.ModeDir | 0o755,
	} {
		info, err := os.Stat(filepath.Join(root, path))
		if err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

// On Debian /var/lock points into /run, which is empty after every boot.
func TestMakeDirectoriesBehindLink(t *testing.T) {
	root := t.TempDir()
	err := errors.Join(
		os.MkdirAll(filepath.Join(root, "var"), 0o755), os.Symlink("../run/lock", filepath.Join(root, "var/lock")))
	if err != nil {
		t.Fatal(err)
	}
	if err := makeDirectories(root); err != nil {
		t.Error(err)
	}
}

func TestDaemons(t *testing.T) {
	if spec := XenstoreDaemon(nil, nil); !spec.Essential || spec.Ready == nil || spec.Remedy == "" {
		t.Errorf("%+v", spec)
	}
	if spec := ConsoleDaemon(nil, nil); spec.Essential || spec.Remedy == "" {
		t.Errorf("%+v", spec)
	}
}

func touch(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}
