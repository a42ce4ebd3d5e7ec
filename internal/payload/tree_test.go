package payload

import (
	"errors"
	"io/fs"
	"testing"
)

// treeOf makes a tree without files on disk: names to link targets, "" for a regular file and
// "/" for a directory.
func treeOf(t *testing.T, files map[string]string) *Tree {
	t.Helper()
	tree := &Tree{Resolution: &Resolution{}, entries: map[string]Entry{}}
	var nodes []node
	for name, what := range files {
		n := node{Path: name, Mode: 0o644}
		switch what {
		case "":
		case "/":
			n.Mode = fs.ModeDir | 0o755
		default:
			n.Mode, n.Link = fs.ModeSymlink|0o777, what
		}
		nodes = append(nodes, n)
	}
	if err := tree.add(&Package{Name: "test"}, "/host", nodes); err != nil {
		t.Fatal(err)
	}
	tree.sort()
	return tree
}

func TestLookup(t *testing.T) {
	tree := treeOf(t, map[string]string{
		"usr": "/", "usr/lib": "/", "usr/lib/real": "", "lib/old": "", "usr/lib64": "/",
		"usr/lib64/ld.so": "../lib/real",
		"usr/lib/abs":     "/lib/old",
		"etc":             "/", "etc/dir": "../usr/lib", "etc/loop": "loop", "etc/up": "../../../../lib/real",
		"etc/dangling": "nothing", "lib": "usr/lib",
	})
	for name, want := range map[string]string{
		"/":                "/",
		"/lib":             "/usr/lib",
		"/lib/real":        "/usr/lib/real",
		"lib//old":         "/usr/lib/old",
		"/lib64/ld.so":     "/usr/lib/real",
		"/usr/lib/abs":     "/usr/lib/old",
		"/etc/dir/abs":     "/usr/lib/old",
		"/etc/up":          "/usr/lib/real",
		"/../usr/lib/real": "/usr/lib/real",
	} {
		if e, err := tree.Lookup(name); err != nil || e.Path != want {
			t.Errorf("%s: %s, %v", name, e.Path, err)
		}
	}
	for _, name := range []string{"/nothing", "/etc/dangling", "/usr/lib/real/x"} {
		if e, err := tree.Lookup(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %s, %v", name, e.Path, err)
		}
	}
	if _, err := tree.Lookup("/etc/loop"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("loop: %v", err)
	}
	if e, err := tree.Lstat("/etc/dir"); err != nil || e.Link != "../usr/lib" {
		t.Errorf("lstat: %+v, %v", e, err)
	}
}

func TestGlobAndUnder(t *testing.T) {
	tree := treeOf(t, map[string]string{
		"boot": "/", "boot/vmlinuz-1": "", "boot/vmlinuz-2": "", "boot/sub": "/", "boot/sub/x": "", "boot2": "",
		"usr/lib": "/", "usr/lib/m": "",
	})
	found, err := tree.Glob("/boot/vmlinuz-*")
	if err != nil || len(found) != 2 || found[0].Path != "/boot/vmlinuz-1" {
		t.Errorf("glob: %v, %v", found, err)
	}
	if found, err := tree.Glob("/lib/*"); err != nil || len(found) != 1 {
		t.Errorf("glob: %v, %v", found, err)
	}
	if _, err := tree.Glob("/["); err == nil {
		t.Error("bad pattern is taken")
	}
	if found, err := tree.Under("/boot"); err != nil || len(found) != 4 || found[0].Path != "/boot/sub" {
		t.Errorf("under: %v, %v", found, err)
	}
	if all, err := tree.Under("/"); err != nil || len(all) != 8 {
		t.Errorf("under: %v, %v", all, err)
	}
}

func TestRelativeLink(t *testing.T) {
	for _, test := range []struct{ path, link, want string }{
		{"/usr/bin/vi", "/etc/alternatives/vi", "../../etc/alternatives/vi"},
		{"/vmlinuz", "/boot/vmlinuz", "boot/vmlinuz"},
		{"/usr/lib/x", "y", "y"},
	} {
		if got := relativeLink(Entry{Path: test.path, Link: test.link}); got != test.want {
			t.Errorf("%s: %s", test.path, got)
		}
	}
}
