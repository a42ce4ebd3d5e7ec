package output

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zerodisc/zerodisc/internal/sha256sums"
)

// testDir is the place dir for directories with the files boot.ipxe and boot/xen.
func testDir(name string) Dir {
	return Dir{Flag: "-netboot", Name: name, Kind: "netboot tree", Ours: func(path string) bool {
		return path == "boot.ipxe" || path == "boot/xen"
	}}
}

func fill(version string) func(*Tree) error {
	return func(tree *Tree) error {
		_, err := tree.File("boot/xen", text("xen "+version))
		_, err2 := tree.File("boot.ipxe", text("ipxe "+version))
		return errors.Join(err, err2)
	}
}

func write(t *testing.T, d Dir, version string) {
	t.Helper()
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
	if err := d.Write(fill(version)); err != nil {
		t.Fatal(err)
	}
}

func TestDir(t *testing.T) {
	for what, name := range map[string]string{"new": "a/b/tree", "empty": "empty"} {
		name = filepath.Join(t.TempDir(), name)
		if what == "empty" {
			if err := os.Mkdir(name, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for _, version := range []string{"1", "2"} { // the second replaces the first
			write(t, testDir(name), version)
			got := listing(t, filepath.Dir(name))
			for _, want := range []string{
				"/boot/xen=xen " + version + "\n", "/boot.ipxe=ipxe " + version + "\n", "/" + sha256sums.Name + "=",
			} {
				if !strings.Contains(got, want) || strings.Count(got, "\n") != 8 {
					t.Errorf("%s: there is\n%s, want %q", what, got, want)
				}
			}
		}
		cmd := exec.Command("sha256sum", "--check", "--strict", sha256sums.Name)
		cmd.Dir = name
		if out, err := cmd.CombinedOutput(); err != nil && !errors.Is(err, exec.ErrNotFound) {
			t.Errorf("sha256sum: %v\n%s", err, out)
		}
	}
}

// TestPermissions writes under a umask that leaves others nothing: a server runs as somebody else.
func TestPermissions(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	name := filepath.Join(t.TempDir(), "tree")
	write(t, testDir(name), "1")
	err := filepath.WalkDir(name, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		want := map[bool]fs.FileMode{true: 0o755, false: 0o644}[entry.IsDir()]
		if err == nil && info.Mode().Perm() != want {
			t.Errorf("%s has %o, want %o", name, info.Mode().Perm(), want)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestDirSparesWhatIsNotItsOwn puts something of somebody else's at the place, or next to it.
func TestDirSparesWhatIsNotItsOwn(t *testing.T) {
	for name, test := range map[string]struct {
		old   bool // a tree of an earlier build is there
		spoil func(t *testing.T, dir string)
		want  string
	}{
		"a file": {false, func(t *testing.T, dir string) { put(t, dir, "") }, "it is a file"},
		"somebody's files": {false, func(t *testing.T, dir string) {
			put(t, dir+"/thesis.tex", "")
		}, "thesis.tex, which is no file of a netboot tree"},
		"somebody's boot.ipxe": {false, func(t *testing.T, dir string) {
			put(t, dir+"/boot.ipxe", "mine")
		}, "cannot be told from something else"},
		"somebody's sums": {false, func(t *testing.T, dir string) {
			put(t, dir+"/"+sha256sums.Name, "mine")
		}, "SHA256SUMS: line 1"},
		"a file of ours that the list lacks": {false, func(t *testing.T, dir string) {
			put(t, dir+"/boot.ipxe", "mine")
			put(t, dir+"/"+sha256sums.Name, "")
		}, "boot.ipxe, which is no file of a netboot tree"},
		"a disc in it": {true, func(t *testing.T, dir string) {
			put(t, dir+"/zerodisc.iso", "disc")
		}, "it holds zerodisc.iso, which"},
		"an escape sequence": {true, func(t *testing.T, dir string) {
			put(t, dir+"/\x1b[2J", "")
		}, `it holds \x1b[2J, which`},
		"a directory in it": {true, func(t *testing.T, dir string) {
			os.MkdirAll(dir+"/photos/2026", 0o755)
		}, "it holds photos, which"},
		"a file deep in it": {true, func(t *testing.T, dir string) {
			put(t, dir+"/boot/mine", "")
		}, "it holds boot/mine, which"},
		"a file changed": {true, func(t *testing.T, dir string) {
			put(t, dir+"/boot.ipxe", "#!ipxe, mine")
		}, "boot.ipxe was changed"},
		"a link in it": {true, func(t *testing.T, dir string) {
			os.Remove(dir + "/boot.ipxe")
			os.Symlink("boot/xen", dir+"/boot.ipxe")
		}, "it holds boot.ipxe, which"},
		"a foreign DIR.partial": {true, func(t *testing.T, dir string) { put(t, dir+".partial/mine", "mine") }, ""},
		"a file missing":        {true, func(t *testing.T, dir string) { os.Remove(dir + "/boot/xen") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "tree")
			if test.old {
				write(t, testDir(dir), "1")
			}
			test.spoil(t, dir)
			before := listing(t, parent)
			d := testDir(dir)
			for what, err := range map[string]error{"Check": d.Check(), "Write": d.Write(fill("2"))} {
				if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
					t.Errorf("%s: %v, want mention of %q", what, err, test.want)
				}
			}
			after := listing(t, parent)
			if test.want == "" {
				spared := strings.Contains(before, "mine") == strings.Contains(after, "mine")
				if !strings.Contains(after, "xen 2") || !spared {
					t.Errorf("there is %q, there was %q", after, before)
				}
			} else if after != before {
				t.Errorf("there is %q, there was %q", after, before)
			}
		})
	}
}

// TestDirFollowsLinks has links that lead to an older tree and to nothing yet.
func TestDirFollowsLinks(t *testing.T) {
	parent := t.TempDir()
	write(t, testDir(filepath.Join(parent, "srv/old")), "1")
	for link, target := range map[string]string{"old": "srv/old", "new": "srv/new"} {
		name := filepath.Join(parent, link)
		if err := os.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
		write(t, testDir(name+"/"), "2") // as a shell completes it
		if got, _ := os.Readlink(name); got != target {
			t.Errorf("the link leads to %q", got)
		}
		if got := listing(t, filepath.Join(parent, target)); !strings.Contains(got, "xen 2") {
			t.Errorf("behind the link is %q", got)
		}
	}
}

// TestDirLooksAgain has something come into the old directory while the new one is written, and a failure.
func TestDirLooksAgain(t *testing.T) {
	parent := t.TempDir()
	dir := testDir(filepath.Join(parent, "tree"))
	write(t, dir, "1")
	broken := errors.New("no more")
	before := listing(t, parent)
	if err := dir.Write(func(*Tree) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("error is %v", err)
	}
	if after := listing(t, parent); after != before {
		t.Errorf("a failure left %q, there was %q", after, before)
	}
	err := dir.Write(func(tree *Tree) error {
		put(t, dir.Name+"/zerodisc.iso", "disc")
		return fill("2")(tree)
	})
	if err == nil || !strings.Contains(err.Error(), "zerodisc.iso") {
		t.Errorf("error is %v", err)
	}
	if after := listing(t, parent); strings.Replace(after, "tree/zerodisc.iso=disc\n", "", 1) != before {
		t.Errorf("there is %q, there was %q", after, before)
	}
}

// TestSameSums checks that the list does not depend on the order of writing.
func TestSameSums(t *testing.T) {
	var lists []string
	for _, order := range [][]string{{"boot.ipxe", "boot/xen"}, {"boot/xen", "boot.ipxe"}} {
		d := testDir(filepath.Join(t.TempDir(), "tree"))
		err := d.Write(func(tree *Tree) error {
			for _, name := range order {
				if _, err := tree.File(name, text(name)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		list, err := os.ReadFile(filepath.Join(d.Name, sha256sums.Name))
		if err != nil {
			t.Fatal(err)
		}
		lists = append(lists, string(list))
	}
	if lists[0] != lists[1] {
		t.Errorf("lists are %q", lists)
	}
}
