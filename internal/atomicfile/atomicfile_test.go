package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
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
