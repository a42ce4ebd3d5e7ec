package guestdir

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
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

func TestCheck(t *testing.T) {
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
			[]string{"tty1.cfg: its directory's place on the disc, /guests/tty1, is taken by the demo; rename the directory"}},
		{"not on the disc", map[string]string{"a": "kernel = \"../b/b.cfg\"", "b": good}, false,
			[]string{"a.cfg:1:10: kernel lies outside of the guest's directory"}},
		{"twice", map[string]string{"a": good}, true, []string{"the name \"a\" is taken"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dirs := []string{store(t, test.configs)}
			if test.again {
				dirs = append(dirs, filepath.Join(dirs[0], "a"))
			}
			_, err := Check(dirs, demo)
			if (err != nil) != (test.want != nil) {
				t.Fatalf("Check: %v, want mention of %q", err, test.want)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Check: %v, want mention of %q", err, want)
				}
			}
		})
	}
}

// Two stores are one on the disc.
func TestCheckInOnePlace(t *testing.T) {
	one := store(t, map[string]string{"web": "kernel = \"dom0\"; name = \"a\""})
	two := store(t, map[string]string{"web": "kernel = \"dom0\"; name = \"b\"", "other": "kernel = \"dom0\""})
	want := filepath.Join(two, "web/web.cfg") + ": its directory's place on the disc, /guests/web, is taken by " +
		filepath.Join(one, "web/web.cfg") + "; rename the directory"
	if _, err := Check([]string{one, two}, Present{}); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestFiles(t *testing.T) {
	dir := store(t, map[string]string{"a": "x", "b": "y"})
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
		files, err := Files(test.dir)
		var found []string
		for _, f := range files {
			found = append(found, f.Path)
			if f.Executable != (f.Path == "guests/a/a.cfg") || f.Content.Size != 1 {
				t.Errorf("%s: %+v", f.Path, f)
			}
		}
		if err != nil || !slices.Equal(found, test.want) {
			t.Errorf("%q, %v, want %q", found, err, test.want)
		}
	}
	if err := os.Symlink(dir, filepath.Join(dir, "a/link")); err != nil {
		t.Fatal(err)
	}
	if _, err := Files(dir); err == nil || !strings.Contains(err.Error(), "link: not a regular file") {
		t.Errorf("a link to a directory: %v", err)
	}
	if _, err := Files(dir + ".none"); err == nil {
		t.Error("a directory that is not there is accepted")
	}
}
