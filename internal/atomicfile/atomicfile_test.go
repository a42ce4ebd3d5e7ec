package atomicfile

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWrite(t *testing.T) {
	name := filepath.Join(t.TempDir(), "new/dir/file")
	write := func(text string, err error) error {
		return Write(name, func(f *os.File) error {
			_, writeErr := f.WriteString(text)
			return errors.Join(writeErr, err)
		})
	}
	broken := errors.New("no more")
	for _, step := range []struct {
		text string
		err  error
		want string
	}{
		{"first", nil, "first"},
		{"half", broken, "first"},
		{"second", nil, "second"},
	} {
		if err := write(step.text, step.err); !errors.Is(err, step.err) {
			t.Errorf("write %q: %v, want %v", step.text, err, step.err)
		}
		if got, err := os.ReadFile(name); string(got) != step.want || err != nil {
			t.Errorf("after %q the file is %q, %v", step.text, got, err)
		}
		entries, err := os.ReadDir(filepath.Dir(name))
		if err != nil || len(entries) != 1 {
			t.Errorf("%d files in the directory, %v, want one", len(entries), err)
		}
	}
}

// TestWriteFollowsLinks has a link that leads over a link to a directory and, with "..", to a file that
// is not there yet.
func TestWriteFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"there/deep", "here"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	links := map[string]string{"here/dir": "../there/deep", "there/deep/second": "../file", "first": "here/dir/second"}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"new", "newer"} {
		if err := WriteBytes(filepath.Join(dir, "first"), []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "there/file")); string(got) != text || err != nil {
			t.Errorf("the file has %q, %v, want %q", got, err, text)
		}
	}
	for name, target := range links {
		if got, err := os.Readlink(filepath.Join(dir, name)); got != target {
			t.Errorf("the link %s is %q, %v", name, got, err)
		}
	}
}

// TestWriteSparesWhatIsNoFile tries everything that a rename would put a file in the place of.
func TestWriteSparesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	link := func(name, target string) string {
		name = filepath.Join(dir, name)
		if err := os.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
		return name
	}
	socket := filepath.Join(dir, "socket")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for _, test := range []struct{ name, want string }{
		{dir, "a directory"},
		{link("dir", "."), "a directory"},
		{socket, "a socket"},
		{link("to-socket", "socket"), "a socket"},
		{fmt.Sprintf("/proc/self/fd/%d", w.Fd()), "a pipe"}, // as /dev/stdout is
		{link("one", "two"), "symbolic links"},
		{link("two", "one"), "symbolic links"},
		{"atomicfile.go/x", "not a directory"},
	} {
		before, _ := os.Lstat(test.name)
		err := WriteBytes(test.name, []byte("x"))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want mention of %q", test.name, err, test.want)
		}
		after, _ := os.Lstat(test.name)
		if before != nil && (after == nil || before.Mode() != after.Mode()) {
			t.Errorf("%s is something else now", test.name)
		}
	}
}
