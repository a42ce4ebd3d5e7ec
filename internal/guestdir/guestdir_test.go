package guestdir

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/internal/iso9660"
)

// store writes guests, name -> configuration, into a new store.
func store(t *testing.T, configs map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range configs {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, name+".cfg"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// demo is what a disc has before guests are added.
var demo = Present{
	Owner: "the demo",
	Names: map[string]bool{"tty1": true, "tty2": true},
	Dirs:  map[string]bool{"tty1": true, "tty2": true},
}

func TestTake(t *testing.T) {
	const good = "kernel = \"dom0\"\n"
	for _, test := range []struct {
		name    string
		configs map[string]string
		again   bool // the same store is given twice
		want    []string
	}{
		{"good", map[string]string{"a": good, "b": good}, false, nil},
		{"files of dom0's are not looked for here",
			map[string]string{"a": good + "disk = [ '/srv/none.img,raw,xvda,rw' ]"}, false, nil},
		{"nothing there", nil, false, []string{"there are no guests"}},
		{"every fault is named", map[string]string{"a": good + "x = \"\n", "b": "kernel = \"missing\""}, false,
			[]string{"a.cfg:2:", "b.cfg:1:10: kernel is missing"}},
		{"taken by the demo", map[string]string{"tty1": good}, false, []string{"tty1.cfg: the name \"tty1\""}},
		{"name of a demo guest", map[string]string{"a": good + "name = \"tty2\""}, false,
			[]string{"a.cfg: the name \"tty2\" is that of a guest of the demo; give it another name"}},
		{"directory of a demo guest", map[string]string{"tty1": good + "name = \"mine\""}, false,
			[]string{"tty1.cfg: its directory's place on the disc, /guests/tty1, is taken by the demo; " +
				"rename the directory"}},
		{"not on the disc", map[string]string{"a": "kernel = \"../b/b.cfg\"", "b": good}, false,
			[]string{"a.cfg:1:10: kernel lies outside of the guest's directory"}},
		{"twice", map[string]string{"a": good}, true, []string{"the name \"a\" is taken"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dirs := []string{store(t, test.configs)}
			if test.again {
				dirs = append(dirs, filepath.Join(dirs[0], "a"))
			}
			_, err := Take(dirs, demo)
			if (err != nil) != (test.want != nil) {
				t.Fatalf("Take: %v, want mention of %q", err, test.want)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Take: %v, want mention of %q", err, want)
				}
			}
		})
	}
}

// Two stores are one on the disc.
func TestTakeInOnePlace(t *testing.T) {
	one := store(t, map[string]string{"web": "kernel = \"dom0\"; name = \"a\""})
	two := store(t, map[string]string{"web": "kernel = \"dom0\"; name = \"b\"", "other": "kernel = \"dom0\""})
	want := filepath.Join(two, "web/web.cfg") + ": its directory's place on the disc, /guests/web, is taken by " +
		filepath.Join(one, "web/web.cfg") + "; rename the directory"
	if _, err := Take([]string{one, two}, Present{}); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

const config = "kernel = \"dom0\"\n"

func paths(files []iso9660.File) []string {
	var paths []string
	for _, f := range files {
		paths = append(paths, f.Path)
	}
	return paths
}

func TestTakenFiles(t *testing.T) {
	dir := store(t, map[string]string{"a": config, "b": config})
	if err := os.Chmod(filepath.Join(dir, "a/a.cfg"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		dir  string
		want []string
	}{
		{dir, []string{"guests/a/a.cfg", "guests/b/b.cfg"}},
		{filepath.Join(dir, "a"), []string{"guests/a/a.cfg"}},
	} {
		taken, err := Take([]string{test.dir}, Present{})
		if err != nil {
			t.Fatal(err)
		}
		if found := paths(taken.Files); !slices.Equal(found, test.want) || len(taken.LeftOut) != 0 {
			t.Errorf("%q, without %q, want %q", found, taken.LeftOut, test.want)
		}
		for _, f := range taken.Files {
			if f.Executable != (f.Path == "guests/a/a.cfg") || f.Content.Size != int64(len(config)) {
				t.Errorf("%s: %+v", f.Path, f)
			}
		}
	}
	if err := os.Symlink(dir, filepath.Join(dir, "a/link")); err != nil {
		t.Fatal(err)
	}
	_, err := Take([]string{dir}, Present{})
	if err == nil || !strings.Contains(err.Error(), "link: not a regular file") {
		t.Errorf("a link to a directory: %v", err)
	}
	if _, err := Take([]string{dir + ".none"}, Present{}); err == nil {
		t.Error("a directory that is not there is accepted")
	}
}

// TestLinkedGuest has a store that is a link, with a guest that is one.
func TestLinkedGuest(t *testing.T) {
	dir := store(t, map[string]string{"a": config})
	links := t.TempDir()
	for name, target := range map[string]string{"store": links + "/real", "real/web": dir + "/a"} {
		name = filepath.Join(links, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.Symlink(target, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"store", "store/web"} {
		taken, err := Take([]string{filepath.Join(links, name)}, Present{})
		if err != nil || len(taken.LeftOut) != 0 || !slices.Equal(paths(taken.Files), []string{"guests/web/a.cfg"}) {
			t.Errorf("%s: %+v, %v", name, taken, err)
		}
	}
}

// TestLeftOut keeps a store as people do: in a Git repository, with notes and an editor's leftovers.
func TestLeftOut(t *testing.T) {
	dir := store(t, map[string]string{
		"web": config +
			"ramdisk = \".made/initrd.img\"\ndisk = [ '.disk.img,raw,xvda,r', 'sub/b.img,raw,xvdb,r' ]\n",
	})
	for _, name := range []string{
		".git/config", "README", "web/.git/config", "web/.web.cfg.swp", "web/.disk.img", "web/.made/initrd.img",
		"web/.made/log", "web/sub/b.img", "web/notes", "web/line\nfeed/.x",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("secret"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "web/empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	taken, err := Take([]string{dir}, Present{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"guests/web/.disk.img", "guests/web/.made/initrd.img", "guests/web/notes", "guests/web/sub/b.img",
		"guests/web/web.cfg",
	}
	if found := paths(taken.Files); !slices.Equal(found, want) {
		t.Errorf("it takes %q, want %q", found, want)
	}
	left := []string{
		dir + "/.git (in no guest's directory)", dir + "/README (in no guest's directory)",
		dir + "/web/.git (hidden)",
		dir + "/web/.made/log (hidden)", dir + "/web/.web.cfg.swp (hidden)", dir + "/web/empty (an empty directory)",
		dir + `/web/line\nfeed/.x (hidden)`,
	}
	if !slices.Equal(taken.LeftOut, left) {
		t.Errorf("it leaves out\n%q, want\n%q", taken.LeftOut, left)
	}
}
