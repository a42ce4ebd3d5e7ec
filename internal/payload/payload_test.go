package payload

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	debTool = testDeb{"tool", "1:2.0-1", "Source: suite (2.0)\n" +
		"Built-Using: libone-src (= 1.0)\n" +
		"Depends: libone (>= 1), python3:any, virtual-thing\n", map[string]string{
		"usr/bin/tool":          "tool",
		"usr/bin/alias":         "-> tool",
		"usr/bin/twin":          "=> usr/bin/tool",
		"usr/share/tool/escape": "-> ../../../../../etc/passwd",
		"usr/share/tool/libs":   "-> /lib/one",
	}}
	debLib    = testDeb{"libone", "1.0", "", map[string]string{"lib/one/libone.so.1": "library"}}
	debPython = testDeb{"python3", "3.13", "Multi-Arch: allowed\nDepends: libpython\n",
		map[string]string{"usr/bin/python3": "snake"}}
	debPyLib = testDeb{"libpython", "3.13", "", map[string]string{"usr/lib/libpython": "snake"}}
	debThing = testDeb{"thing", "0.1", "Provides: virtual-thing (= 1)\n",
		map[string]string{"usr/lib/one/thing": "thing"}}
)

func allDebs() []testDeb { return []testDeb{debTool, debLib, debPython, debPyLib, debThing} }

func mustLoad(t *testing.T, opts Options, roots ...string) *Tree {
	t.Helper()
	tree, err := Load(t.Context(), opts, roots...)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// failLoad checks that Load fails and says all of the given words.
func failLoad(t *testing.T, opts Options, root string, words ...string) {
	t.Helper()
	before, _ := os.ReadDir(opts.Cache.Path("tmp"))
	_, err := Load(t.Context(), opts, root)
	if err == nil {
		t.Fatal("no error")
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error does not say %q: %v", w, err)
		}
	}
	if after, _ := os.ReadDir(opts.Cache.Path("tmp")); len(after) > len(before) {
		t.Errorf("left behind: %v, before %v", after, before)
	}
}

func packageNames(tree *Tree) []string {
	var list []string
	for _, p := range tree.Resolution.Packages {
		list = append(list, p.Name)
	}
	return list
}

func TestLoad(t *testing.T) {
	tree := mustLoad(t, newRepo(t, allDebs()...).options(), "tool")
	if got, want := packageNames(tree), []string{"libone", "thing", "tool"}; !slices.Equal(got, want) {
		t.Errorf("packages %v, want %v", got, want)
	}
	tool, err := tree.Package("tool")
	if err != nil || tool.Version != "1:2.0-1" ||
		!slices.Equal(tool.Sources, []Source{{"suite", "2.0"}, {"libone-src", "1.0"}}) {
		t.Errorf("tool is %+v, %v", tool, err)
	}
	for path, want := range map[string]string{
		"/usr/bin/tool":                    "tool",
		"/bin/alias":                       "tool",
		"/usr/bin/twin":                    "tool",
		"/lib/one/libone.so.1":             "library",
		"/usr/lib/one/libone.so.1":         "library",
		"/usr/share/tool/libs/libone.so.1": "library",
		"/usr/share/tool/libs/thing":       "thing",
	} {
		e, err := tree.Lookup(path)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, file := range []string{e.Host, filepath.Join(tree.Root(), path)} {
			if got, err := os.ReadFile(file); err != nil || string(got) != want {
				t.Errorf("%s is %q at %s, want %q: %v", path, got, file, want, err)
			}
		}
	}
	if _, err := tree.Lookup("/usr/share/tool/escape"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link out of the tree: %v", err)
	}
}

func TestRootIsNeverLeftOut(t *testing.T) {
	tree := mustLoad(t, newRepo(t, allDebs()...).options(), "python3")
	if got, want := packageNames(tree), []string{"libpython", "python3"}; !slices.Equal(got, want) {
		t.Errorf("packages %v, want %v", got, want)
	}
}

func TestWarmNeedsNoArchive(t *testing.T) {
	r := newRepo(t, allDebs()...)
	opts := r.options()
	mustLoad(t, opts, "tool")
	if err := os.RemoveAll(r.dir); err != nil {
		t.Fatal(err)
	}
	mustLoad(t, opts, "tool")
	opts.Offline = true
	opts.Mirror, opts.Keyring = "", ""
	mustLoad(t, opts, "tool")
	failLoad(t, opts, "libone", "offline", "libone", "-offline")
}

func TestDamagedCache(t *testing.T) {
	opts := newRepo(t, allDebs()...).options()
	tree := mustLoad(t, opts, "tool")
	lib, err := tree.Lookup("/lib/one/libone.so.1")
	if err != nil {
		t.Fatal(err)
	}
	offline := opts
	offline.Offline = true

	for _, damaged := range []string{"short", "libfary", "librarian"} {
		put(t, lib.Host, damaged)
		tree := mustLoad(t, offline, "tool")
		if got, _ := os.ReadFile(filepath.Join(tree.Root(), lib.Path)); string(got) != "library" {
			t.Errorf("damaged in the cache as %q, the file is %q", damaged, got)
		}
	}
	if err := os.Remove(lib.Host); err != nil {
		t.Fatal(err)
	}
	deb := opts.path("debs", lib.Package.SHA256+".deb")
	put(t, deb, "not a package")
	failLoad(t, offline, "tool", "offline", "libone", "-offline")
	mustLoad(t, opts, "tool")
	if err := checkDeb(deb, *lib.Package); err != nil {
		t.Error(err)
	}
}

func TestDamagedResolution(t *testing.T) {
	opts := newRepo(t, allDebs()...).options()
	mustLoad(t, opts, "tool")
	files, err := filepath.Glob(opts.path("resolutions", "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	offline := opts
	offline.Offline = true
	whole, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, damaged := range []string{
		"{", strings.Replace(string(whole), "Built-Using: libone-src", "Built-Using: libtwo-src", 1),
	} {
		put(t, files[0], damaged)
		failLoad(t, offline, "tool", "offline", files[0], "-offline")
		mustLoad(t, opts, "libone")
		mustLoad(t, opts, "tool")
		mustLoad(t, offline, "tool")
	}
}

func TestWrongSignature(t *testing.T) {
	r := newRepo(t, debLib)
	r.newKey()
	r.publish()
	failLoad(t, r.options(), "libone", "fetch package index", "debian-archive-keyring")
}

func TestNoSignature(t *testing.T) {
	r := newRepo(t, debLib)
	if err := os.Remove(filepath.Join(r.dir, "debian/dists/trixie/InRelease")); err != nil {
		t.Fatal(err)
	}
	failLoad(t, r.options(), "libone", "fetch package index", "signed")
}

func TestChangedPackage(t *testing.T) {
	r := newRepo(t, debLib)
	raw, err := os.ReadFile(r.deb(debLib))
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-1] ^= 1
	put(t, r.deb(debLib), string(raw))
	failLoad(t, r.options(), "libone", "download packages", "Hash Sum mismatch")
}

func TestCutPackage(t *testing.T) {
	r := newRepo(t, debLib)
	if err := os.Truncate(r.deb(debLib), 100); err != nil {
		t.Fatal(err)
	}
	failLoad(t, r.options(), "libone", "download packages", "libone")
}

func TestUnknownPackage(t *testing.T) {
	opts := newRepo(t, debLib).options()
	failLoad(t, opts, "libtwo", "libtwo")
	failLoad(t, opts, "--option=x", "not valid")
}

func TestUnmetDependency(t *testing.T) {
	failLoad(t, newRepo(t, debTool, debLib).options(), "tool", "Depends: python3:any")
}

func TestNoKeyring(t *testing.T) {
	opts := Options{Cache: newCache(t, t.TempDir()), Mirror: "file:///nowhere/debian", Keyring: "/nowhere/key.gpg"}
	failLoad(t, opts, "libone", "debian-archive-keyring")
}

// TestArchiveMovesOn has the archive replace a package after its index was fetched.
func TestArchiveMovesOn(t *testing.T) {
	r := newRepo(t, allDebs()...)
	opts := r.options()
	mustLoad(t, opts, "libone")
	if err := os.Remove(r.deb(debThing)); err != nil {
		t.Fatal(err)
	}
	newer := debThing
	newer.version = "0.2"
	r.stanzas = nil
	r.add(newer)
	r.publish()
	tree := mustLoad(t, opts, "thing")
	if p, _ := tree.Package("thing"); p.Version != "0.2" {
		t.Errorf("thing is %s", p.Version)
	}
}

func TestSameFileTwice(t *testing.T) {
	other := testDeb{"other", "1", "Depends: thing\n", map[string]string{"usr/lib/one/thing": "another"}}
	failLoad(t, newRepo(t, debThing, other).options(), "other", "/usr/lib/one/thing", "other", "and in thing")
}

// TestComponents takes a package that is in another component than main: with it only, by a lock file too, and
// without the index of main being fetched again afterwards.
func TestComponents(t *testing.T) {
	const component = "non-free-firmware"
	r := newRepo(t, debLib)
	r.addTo(component, testDeb{"firmware", "1", "Depends: libone, iucode-tool\n",
		map[string]string{"lib/firmware/x": "x"}})
	r.add(testDeb{"iucode-tool", "1", "", map[string]string{"usr/sbin/iucode_tool": "tool"}})
	r.publish()
	opts := r.options()
	failLoad(t, opts, "firmware", "Unable to locate package firmware")
	mustLoad(t, opts, "libone")
	main, err := os.Stat(opts.path("apt", "updated"))
	if err != nil {
		t.Fatal(err)
	}
	with := opts
	with.Components = []string{component}
	with.LockFile = filepath.Join(t.TempDir(), "lock")
	for range 2 {
		if got := packageNames(mustLoad(t, with, "firmware")); !slices.Equal(got, []string{"firmware", "libone"}) {
			t.Errorf("packages %v", got)
		}
		if err := os.RemoveAll(with.path("debs")); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(with.path("unpacked")); err != nil {
			t.Fatal(err)
		}
	}
	mustLoad(t, opts, "libone")
	if now, err := os.Stat(opts.path("apt", "updated")); err != nil || now.ModTime() != main.ModTime() {
		t.Errorf("the index of main was fetched again: %v", err)
	}
}

// TestMirrorWithoutComponent asks a mirror for a component that it does not carry.
func TestMirrorWithoutComponent(t *testing.T) {
	opts := newRepo(t, debLib).options()
	opts.Components = []string{"non-free-firmware"}
	failLoad(t, opts, "firmware", "non-free-firmware")
}

// fakeApt puts a shell script in apt-get's place.
func fakeApt(t *testing.T, script string) Options {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "apt-get")
	put(t, file, "#!/bin/sh\n"+script)
	if err := os.Chmod(file, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return Options{Cache: newCache(t, t.TempDir()), Mirror: "file:///nowhere/debian", Keyring: file}
}

func TestCancelEndsApt(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "helper")
	// The helper is a child of apt-get, and would write the mark if it outlived it.
	opts := fakeApt(t, "(sleep 2; echo alive >"+mark+") & wait\n")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := Load(ctx, opts, "tool")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %v", took)
	}
	time.Sleep(2*time.Second - time.Since(start) + 200*time.Millisecond)
	if _, err := os.Stat(mark); err == nil {
		t.Error("apt's helper lives on")
	}
}

func TestAptErrors(t *testing.T) {
	tests := []struct {
		name, stderr string
		words        []string
	}{
		{"full disk", "E: Write error - write (28: No space left on device)", []string{"the disk is full"}},
		{"no network", "W: x\nE: Failed to fetch a  Temporary failure resolving 'h'\nE: b\nE: c\nE: d\nE: e",
			[]string{"-offline", "and 3 more"}},
		{"silent", "", []string{"exit status 100"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			opts := fakeApt(t, "cat >&2 <<'EOF'\n"+test.stderr+"\nEOF\nexit 100\n")
			failLoad(t, opts, "tool", append(test.words, "fetch package index: apt-get")...)
		})
	}
}

// TestDamagedIndex has a bit of the archive's index change between two builds.
func TestDamagedIndex(t *testing.T) {
	opts := newRepo(t, allDebs()...).options()
	mustLoad(t, opts, "libone")
	lists, err := filepath.Glob(opts.path("apt", "lists", "*_trixie_*Packages*"))
	if err != nil || len(lists) != 1 {
		t.Fatal(lists, err)
	}
	whole, err := os.ReadFile(lists[0])
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(lists[0])
	if err != nil {
		t.Fatal(err)
	}
	damaged := slices.Clone(whole)
	damaged[len(damaged)/2] ^= 1
	put(t, lists[0], string(damaged))
	if err := os.Chtimes(lists[0], info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	mustLoad(t, opts, "thing")
	if now, err := os.ReadFile(lists[0]); !slices.Equal(now, whole) {
		t.Errorf("the damaged index is still there: %v", err)
	}
}

// TestResolutionIsOfFacts has this package leave out another set of packages than when apt was asked.
func TestResolutionIsOfFacts(t *testing.T) {
	opts := newRepo(t, allDebs()...).options()
	mustLoad(t, opts, "tool")
	notNeeded["thing"] = "a test"
	defer delete(notNeeded, "thing")
	if got, want := packageNames(mustLoad(t, opts, "tool")), []string{"libone", "tool"}; !slices.Equal(got, want) {
		t.Errorf("packages %v, want %v", got, want)
	}
}

func TestPrune(t *testing.T) {
	r := newRepo(t, allDebs()...)
	opts := r.options()
	kept := mustLoad(t, opts, "tool")
	gone := mustLoad(t, opts, "python3")
	old := time.Now().Add(-2 * pruneAge)
	err := filepath.WalkDir(opts.path(), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.Type() == fs.ModeSymlink {
			return err
		}
		return os.Chtimes(p, old, old)
	})
	if err != nil {
		t.Fatal(err)
	}
	opts.Refresh = true
	mustLoad(t, opts, "tool")
	for _, p := range kept.Resolution.Packages {
		if !opts.Cache.Has(unpackedKind, p.SHA256) || checkDeb(opts.deb(p), p) != nil {
			t.Errorf("%s is in use and was removed", p)
		}
	}
	unused := gone.Resolution.Packages[0]
	for _, p := range []string{opts.unpacked(unused, ""), opts.deb(unused)} {
		if _, err := os.Stat(p); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", p, err)
		}
	}
}
