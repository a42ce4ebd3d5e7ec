package payload

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// lockOptions are options with a lock file that is not there yet.
func lockOptions(t *testing.T, r *repo) Options {
	t.Helper()
	opts := r.options()
	opts.LockFile = filepath.Join(t.TempDir(), "packages.lock")
	return opts
}

// replace has the archive hold only the given version of a package besides what it needs.
func (r *repo) replace(old testDeb, version string) {
	r.t.Helper()
	if err := os.Remove(r.deb(old)); err != nil {
		r.t.Fatal(err)
	}
	old.version = version
	r.stanzas = nil
	r.add(old)
	r.publish()
}

func TestLock(t *testing.T) {
	r := newRepo(t, allDebs()...)
	opts := lockOptions(t, r)
	first := mustLoad(t, opts, "tool")
	written, err := os.ReadFile(opts.LockFile)
	if err != nil {
		t.Fatal(err)
	}
	res, err := ReadLock(opts.LockFile)
	if err != nil || !reflect.DeepEqual(res, first.Resolution) {
		t.Errorf("lock holds %+v, %v, want %+v", res, err, first.Resolution)
	}

	// Same archive, empty cache.
	elsewhere := opts
	elsewhere.Cache = newCache(t, t.TempDir())
	if tree := mustLoad(t, elsewhere, "tool"); !reflect.DeepEqual(tree.Resolution, first.Resolution) {
		t.Errorf("elsewhere: %+v, want %+v", tree.Resolution, first.Resolution)
	}

	// A newer archive: the cache has what the lock lists.
	r.replace(debThing, "0.2")
	opts.Refresh = true
	if tree := mustLoad(t, opts, "tool"); !reflect.DeepEqual(tree.Resolution, first.Resolution) {
		t.Errorf("newer archive: %+v, want %+v", tree.Resolution, first.Resolution)
	}
	if err := os.RemoveAll(r.dir); err != nil {
		t.Fatal(err)
	}
	mustLoad(t, opts, "tool")
	if now, _ := os.ReadFile(opts.LockFile); !slices.Equal(now, written) {
		t.Errorf("the lock has changed to\n%s", now)
	}
}

func TestLockOfPackageThatIsGone(t *testing.T) {
	r := newRepo(t, debThing)
	opts := lockOptions(t, r)
	mustLoad(t, opts, "thing")
	r.replace(debThing, "0.2")
	opts.Cache = newCache(t, t.TempDir())
	failLoad(t, opts, "thing", opts.LockFile, "'0.1'", "'thing'", "delete the lock")
	opts.Offline = true
	failLoad(t, opts, "thing", opts.LockFile, "lacks thing", "-offline")
}

// TestLockYoungerThanIndex has a cache whose index is of an hour in which the archive changed.
func TestLockYoungerThanIndex(t *testing.T) {
	r := newRepo(t, debThing)
	old := r.options()
	mustLoad(t, old, "thing")
	r.replace(debThing, "0.2")
	opts := lockOptions(t, r)
	mustLoad(t, opts, "thing")
	opts.Cache = old.Cache
	if p, err := mustLoad(t, opts, "thing").Package("thing"); err != nil || p.Version != "0.2" {
		t.Errorf("thing is %s, %v", p.Version, err)
	}
}

// TestLockRefusesOtherBytes has the archive hold another file under the locked version.
func TestLockRefusesOtherBytes(t *testing.T) {
	r := newRepo(t, debThing)
	opts := lockOptions(t, r)
	mustLoad(t, opts, "thing")
	other := debThing
	other.files = map[string]string{"usr/lib/one/thing": "something else altogether"}
	r.replace(other, other.version)
	opts.Cache = newCache(t, t.TempDir())
	failLoad(t, opts, "thing", opts.LockFile, "thing has")
}

func TestLockOfAnotherBuild(t *testing.T) {
	r := newRepo(t, allDebs()...)
	opts := lockOptions(t, r)
	mustLoad(t, opts, "thing")
	failLoad(t, opts, "libone", opts.LockFile, "made without libone", "delete it")
	_, err := Load(t.Context(), opts, "thing", "libone")
	if err == nil || !strings.Contains(err.Error(), "made without libone") {
		t.Errorf("one root more: %v", err)
	}
	more := lockOptions(t, r)
	if _, err := Load(t.Context(), more, "thing", "libone"); err != nil {
		t.Fatal(err)
	}
	failLoad(t, more, "thing", more.LockFile, "made with libone")
	opts.Suite = "sid"
	failLoad(t, opts, "thing", opts.LockFile, "suite trixie, the build for sid")
}

func TestLockIsKeptInCache(t *testing.T) {
	r := newRepo(t, debThing)
	opts := lockOptions(t, r)
	locked := mustLoad(t, opts, "thing")
	r.replace(debThing, "0.2")
	unlocked := opts
	unlocked.LockFile, unlocked.Refresh = "", true
	mustLoad(t, unlocked, "thing") // the resolution that named 0.1 is gone
	mustLoad(t, opts, "thing")
	old := time.Now().Add(-2 * pruneAge)
	sum := locked.Resolution.Packages[0].SHA256
	for _, file := range []string{"debs/" + sum + ".deb", "unpacked/" + sum + ".sums"} {
		if err := os.Chtimes(opts.path(file), old, old); err != nil {
			t.Fatal(err)
		}
	}
	mustLoad(t, unlocked, "thing")
	opts.Offline = true
	mustLoad(t, opts, "thing")
}

func TestFailureWritesNoLock(t *testing.T) {
	r := newRepo(t, debLib)
	if err := os.Truncate(r.deb(debLib), 100); err != nil {
		t.Fatal(err)
	}
	opts := lockOptions(t, r)
	failLoad(t, opts, "libone", "libone")
	if _, err := ReadLock(opts.LockFile); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("lock: %v", err)
	}
}

const sumOf1 = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"

// testResolution is small and has all that a lock can hold.
func testResolution() *Resolution {
	return &Resolution{Suite: "trixie", Roots: []string{"image", "zlib1g"}, Packages: []Package{
		{"image", "6.12-1", "amd64", 12, sumOf1, []Source{{"image-signed", "6.12+1"}, {"linux", "6.12-1"}}},
		{"zlib1g", "1:1.3~rc1", "all", 7, sumOf1, []Source{{"zlib", "1:1.3~rc1"}}},
	}}
}

func TestFormatLock(t *testing.T) {
	want := lockFormat + "\n" + lockComment + `suite: trixie
root: image
root: zlib1g
image 6.12-1 amd64 12 ` + sumOf1 + `
	image-signed 6.12+1
	linux 6.12-1
zlib1g 1:1.3~rc1 all 7 ` + sumOf1 + `
	zlib 1:1.3~rc1
sha256: `
	got := string(formatLock(testResolution()))
	if text, found := strings.CutPrefix(got, want); !found || len(text) != 65 {
		t.Errorf("got\n%s", got)
	}
	res, err := parseLock([]byte(got))
	if err != nil || !reflect.DeepEqual(res, testResolution()) {
		t.Errorf("reads as %+v, %v", res, err)
	}
}

func TestParseLockErrors(t *testing.T) {
	good := string(formatLock(testResolution()))
	image := "image 6.12-1 amd64 12 " + sumOf1 + "\n"
	edit := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	for name, test := range map[string]struct{ text, want string }{
		"empty":          {"", "line 1: "},
		"a page":         {"<html>\n", `line 1: "<html>" is not "zerodisc-lock: 1"`},
		"later version":  {edit("lock: 1", "lock: 2"), "line 1: "},
		"edited version": {edit("image 6.12-1", "image 6.12-2"), "line 12: the sum"},
		"edited comment": {edit("# A", "# a"), "line 3: not as"},
		"blanks":         {edit("root: ", "root:  "), "line 5: not as"},
		"blank line":     {edit("root:", "\nroot:"), "line 5: "},
		"lost package":   {edit(image, ""), `line 7: "\timage-signed 6.12+1" is no line of a lock`},
		"twice":          {edit(image, image+image), "line 8: package image comes after image"},
		"no suite":       {edit("suite: trixie\n", ""), "line 4: "},
		"two suites":     {edit("suite: trixie\n", "suite: trixie\nsuite: sid\n"), "line 5: "},
		"conflict":       {edit("root:", "<<<<<<< HEAD\nroot:"), "line 5: "},
		"short sum":      {edit(sumOf1, sumOf1[1:]), "line 7: package image: SHA-256"},
		"size":           {edit(" 12 ", " many "), "line 7: package image: size"},
		"source first":   {edit(image, "\tlinux 6.12-1\n"+image), "line 7: "},
		"source":         {edit("linux 6.12-1", "linux ../1"), "line 9: source package"},
		"cut":            {good[:len(good)/2], "line 7: "},
		"cut at a line":  {good[:strings.Index(good, "zlib1g 1")], "line 10: the sum"},
		"no sum":         {good[:strings.Index(good, lockSum)], "line 12: the sum"},
		"more":           {good + "root: zstd\n", "line 7: not as"},
		"no line end":    {strings.TrimSpace(good), "line 12: the sum"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parseLock([]byte(test.text)); err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
		})
	}
}

func FuzzParseLock(f *testing.F) {
	f.Add(formatLock(testResolution()))
	f.Fuzz(func(t *testing.T, text []byte) {
		res, err := parseLock(text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "line ") {
				t.Errorf("the error names no line: %v", err)
			}
			return
		}
		if written := formatLock(res); !slices.Equal(written, text) {
			t.Errorf("%q is written as %q", text, written)
		}
	})
}
