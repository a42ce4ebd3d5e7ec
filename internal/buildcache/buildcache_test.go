package buildcache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// open opens a cache and collects what it says.
func open(t *testing.T, dir string) (*Cache, *[]string) {
	t.Helper()
	said := &[]string{}
	c, err := Open(t.Context(), dir, func(text string) { *said = append(*said, text) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, said
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// makeTree is a directory with a file in a directory and a link.
func makeTree(t *testing.T) func(string) error {
	return func(path string) error {
		put(t, filepath.Join(path, "dir/file"), "contents")
		return os.Symlink("dir/file", filepath.Join(path, "link"))
	}
}

// TestDamage changes a directory and a file in every way that leaves name, size and dates as they were, and in
// others, and wants them made anew.
func TestDamage(t *testing.T) {
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for what, damage := range map[string]func(dir string){
		"a byte":       func(dir string) { flip(t, filepath.Join(dir, "dir/file")) },
		"a lost file":  func(dir string) { do(os.Remove(filepath.Join(dir, "dir/file"))) },
		"a cut file":   func(dir string) { do(os.Truncate(filepath.Join(dir, "dir/file"), 3)) },
		"a stray file": func(dir string) { put(t, filepath.Join(dir, "dir/stray"), "") },
		"a permission": func(dir string) { do(os.Chmod(filepath.Join(dir, "dir/file"), 0o755)) },
		"another link": func(dir string) {
			do(os.Remove(filepath.Join(dir, "link")))
			do(os.Symlink("dir", filepath.Join(dir, "link")))
		},
		"its sums":      func(dir string) { flip(t, dir+sumsSuffix) },
		"no sums":       func(dir string) { do(os.Remove(dir + sumsSuffix)) },
		"all of it":     func(dir string) { do(os.RemoveAll(dir)) },
		"a file for it": func(dir string) { do(os.RemoveAll(dir)); put(t, dir, "contents") },
	} {
		t.Run(what, func(t *testing.T) {
			c, said := open(t, t.TempDir())
			name, err := c.Entry("kind", "key", makeTree(t))
			do(err)
			whole, err := Sums(name)
			do(err)
			if again, err := c.Entry("kind", "key", nil); again != name || err != nil || len(*said) > 0 {
				t.Fatalf("an intact entry: %s, %v, said %q", again, err, *said)
			}
			damage(name)
			made := 0
			_, err = c.Entry("kind", "key", func(path string) error { made++; return makeTree(t)(path) })
			do(err)
			if now, err := Sums(name); made != 1 || string(now) != string(whole) {
				t.Errorf("made %d times, now\n%s%v", made, now, err)
			}
			if quiet := what == "no sums"; (len(*said) == 0) != quiet {
				t.Errorf("said %q", *said)
			}
		})
	}
}

// flip changes one bit of a file and keeps its dates.
func flip(t *testing.T, name string) {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	put(t, name, string(data))
	if err := os.Chtimes(name, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
}

// TestFailure leaves nothing of what could not be made.
func TestFailure(t *testing.T) {
	c, _ := open(t, t.TempDir())
	broken := errors.New("no more")
	_, err := c.Entry("kind", "key", func(path string) error {
		put(t, path, "half")
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if c.Has("kind", "key") {
		t.Error("half an entry is there")
	}
	if left, err := os.ReadDir(c.Path(tmpName)); len(left) > 0 || err != nil {
		t.Errorf("left %v, %v", left, err)
	}
}

// TestKilled makes an entry anew whose build was killed before it wrote the sums.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "kind/key"), "hal")
	put(t, filepath.Join(dir, tmpName, "key-1/made"), "hal")
	c, _ := open(t, dir)
	if left, err := os.ReadDir(c.Path(tmpName)); len(left) > 0 || err != nil {
		t.Errorf("left %v, %v", left, err)
	}
	name, err := c.Entry("kind", "key", func(path string) error { put(t, path, "half"); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(name); string(data) != "half" {
		t.Errorf("%q, %v", data, err)
	}
}

// TestOneBuildAtATime has a second build wait, which says so, until the first one closes the cache.
func TestOneBuildAtATime(t *testing.T) {
	dir := t.TempDir()
	first, _ := open(t, dir)
	ctx, cancel := context.WithCancelCause(t.Context())
	tired := errors.New("tired")
	_, err := Open(ctx, dir, func(text string) {
		if !strings.Contains(text, dir) {
			t.Errorf("said %q", text)
		}
		cancel(tired)
	})
	if !errors.Is(err, tired) {
		t.Fatalf("a second build: %v", err)
	}
	temp, err := first.Temp("x")
	if err != nil {
		t.Fatal(err)
	}
	waits := make(chan string, 1)
	got := make(chan error, 1)
	go func() {
		second, err := Open(t.Context(), dir, func(text string) { waits <- text })
		if err == nil {
			err = second.Close()
		}
		got <- err
	}()
	<-waits
	if _, err := os.Stat(temp); err != nil {
		t.Errorf("the first build's files are gone while the second one waits: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestPrune(t *testing.T) {
	c, _ := open(t, t.TempDir())
	for i := range 5 {
		key := fmt.Sprint(i)
		if _, err := c.Entry("kind", key, makeTree(t)); err != nil {
			t.Fatal(err)
		}
		used := time.Now().Add(time.Duration(i-100) * time.Hour)
		if err := os.Chtimes(c.Path("kind", key+sumsSuffix), used, used); err != nil {
			t.Fatal(err)
		}
	}
	if !c.Has("kind", "0") {
		t.Fatal("an entry is not there")
	}
	put(t, c.Path("kind", "torn"), "")
	if err := c.Prune("kind", 2); err != nil {
		t.Fatal(err)
	}
	files, err := fs.Glob(os.DirFS(c.Path("kind")), "*")
	if want := []string{"0", "0.sums", "4", "4.sums"}; !slices.Equal(files, want) {
		t.Errorf("left %q, %v, want %q", files, err, want)
	}
	if err := c.Prune("nothing", 2); err != nil {
		t.Error(err)
	}
}

func TestKey(t *testing.T) {
	seen := map[string][]string{}
	for _, parts := range [][]string{{}, {""}, {"a"}, {"b"}, {"a", "b"}, {"ab"}, {"a\nb"}, {"a", "", "b"}} {
		key := Key(parts...)
		if other, ok := seen[key]; ok || len(key) != 32 {
			t.Errorf("%q and %q: %s", parts, other, key)
		}
		seen[key] = parts
	}
}

func TestCode(t *testing.T) {
	code, err := Code()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if want, err := sum(program); code != want || err != nil {
		t.Errorf("code is %s, want %s, %v", code, want, err)
	}
}
