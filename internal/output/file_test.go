package output

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func put(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// listing is all that is below a directory, with what the files hold and where links lead to.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		b.WriteString(rel)
		if entry.Type().IsRegular() {
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			b.WriteString("=" + string(text))
		}
		if target, err := os.Readlink(name); err == nil {
			b.WriteString("->" + target)
		}
		b.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func text(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []File{
		{Flag: "-o", Name: filepath.Join(dir, "new/dir/x.iso"), Image: true},
		{Flag: "-o", Name: put(t, filepath.Join(dir, "old.iso"), "old"), Image: true},
	} {
		if err := f.Check(); err != nil {
			t.Error(err)
		}
		if err := f.Write(3, text("new")); err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(f.Name); string(got) != "new" {
			t.Errorf("%s has %q, %v", f.Name, got, err)
		}
	}
}

// TestFileRefusals checks that both Check and Write refuse, and change nothing.
func TestFileRefusals(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "file"), "mine")
	for _, test := range []struct{ name, want string }{
		{"", "-o : the name is empty"},
		{dir, "-o " + dir + ": it is a directory; name a file"},
		{filepath.Join(dir, "file/x.iso"), "not a directory"},
		{filepath.Join(dir, "file/x/x.iso"), "not a directory"},
	} {
		f := File{Flag: "-o", Name: test.name, Image: true}
		before := listing(t, dir)
		for what, err := range map[string]error{"Check": f.Check(), "Write": f.Write(0, text(""))} {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s %q: %v, want mention of %q", what, test.name, err, test.want)
			}
		}
		if after := listing(t, dir); after != before {
			t.Errorf("%q: there is %q, there was %q", test.name, after, before)
		}
	}
	broken := errors.New("no more")
	f := File{Name: filepath.Join(dir, "file")}
	if err := f.Write(1, func(io.Writer) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("error is %v", err)
	}
	if got := listing(t, dir); got != ".\nfile=mine\n" {
		t.Errorf("a failure left %q", got)
	}
}

func TestCheckWantsADirectoryToWriteTo(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	dir := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	if err := (File{Name: filepath.Join(dir, "x/y.iso")}).Check(); !errors.Is(err, os.ErrPermission) {
		t.Errorf("error is %v", err)
	}
}

func TestDistinct(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	put(t, at("real/file"), "")
	if err := os.Symlink("real", at("link")); err != nil {
		t.Fatal(err)
	}
	file := func(flag, name string) Place { return Place{Flag: flag, Name: name, Written: true} }
	tree := func(flag, name string) Place { return Place{Flag: flag, Name: name, Written: true, Whole: true} }
	input := func(flag, name string) Place { return Place{Flag: flag, Name: name} }
	for _, test := range []struct {
		places []Place
		want   string
	}{
		{[]Place{file("-o", at("a")), file("-lock", at("b")), tree("-netboot", at("c"))}, ""},
		{[]Place{file("-o", at("a")), tree("-netboot", ""), tree("-release", "")}, ""},
		{[]Place{file("-o", at("ab/x")), tree("-netboot", at("a"))}, ""},
		{[]Place{input("-config", at("a")), input("-guests", at("a"))}, ""},
		{[]Place{file("-o", at("a")), file("-lock", at("./a"))}, "-o and -lock are the same place"},
		{[]Place{file("-o", at("a")), input("-config", at("a"))}, "-o and -config are the same place"},
		{[]Place{file("-o", at("a/b/x.iso")), tree("-netboot", at("a"))},
			"-o " + at("a/b/x.iso") + " lies in -netboot " + at("a")},
		{[]Place{tree("-release", at("a/r")), tree("-netboot", at("a"))},
			"-release " + at("a/r") + " lies in -netboot"},
		{[]Place{tree("-release", at("a")), tree("-netboot", at("a"))}, "are the same place"},
		{[]Place{input("-cache", at("a/cache")), tree("-netboot", at("a"))},
			"-cache " + at("a/cache") + " lies in -netboot"},
		{[]Place{file("-o", at("build")), input("-cache", at("build/cache"))}, "which is to be a file"},
		{[]Place{file("-o", at("link/new/x")), tree("-netboot", at("real/new"))},
			"-o " + at("link/new/x") + " lies in -netboot"},
		{[]Place{file("-o", at("link/file")), input("-config", at("real/file"))}, "the same place"},
	} {
		err := Distinct(test.places...)
		if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want mention of %q", test.places, err, test.want)
		}
	}
}
