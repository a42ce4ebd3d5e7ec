package guests

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestLinksLeaveNoVolume has files of a guest that lead elsewhere. On the boot medium, which has no other root, they
// may.
func TestLinksLeaveNoVolume(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	root := tree(t, map[string]string{"guests/g/g.cfg": "", "shared/disk.img": "", "shared/\x1b.img": ""})
	dir := filepath.Join(root, "guests/g")
	for name, target := range map[string]string{
		"out": outside, "up": strings.Repeat("../", 30) + outside[1:], "in": "../../shared/disk.img",
		"round": "round", "gone": "/nowhere", "escape": "../../shared/\x1b.img",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	const leads = "symbolic link that leads out of the volume, to "
	for name, want := range map[string]string{
		"out": leads + outside, "up": leads + outside, "in": "", "round": "too many links", "gone": "is missing",
		"pipe": "names neither a file nor a disk", "escape": "its name has a character that cannot be printed",
	} {
		config := "kernel = 'in'\ndisk = [ '" + name + ",raw,xvda,r' ]\n"
		if err := os.WriteFile(filepath.Join(dir, "g.cfg"), []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, within := range []string{root, ""} {
			guest, err := LoadFrom(within, dir)
			if err != nil {
				t.Fatal(err)
			}
			guest.Trusted = true
			_, err = guest.Resolve(Machine{})
			mayLead := within == "" && (name == "out" || name == "up" || name == "escape")
			switch {
			case want == "" || mayLead:
				if err != nil {
					t.Errorf("%s below %q: %v", name, within, err)
				}
			case within == "" && name == "round":
			case err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "g.cfg:2:10"):
				t.Errorf("%s below %q: %v, want %q", name, within, err, want)
			}
		}
	}
	if err := os.Remove(filepath.Join(dir, "g.cfg")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "g.cfg")); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadFrom(root, dir); err == nil || !strings.Contains(err.Error(), leads) {
		t.Errorf("a configuration that leads out: %v", err)
	}
}
