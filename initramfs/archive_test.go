package initramfs

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// listTar reads a tar archive as one line an entry: type, permissions, name, and target or contents.
func listTar(t *testing.T, r io.Reader) []string {
	t.Helper()
	var lines []string
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.ModTime.Unix() > 0 {
			t.Errorf("%s: owner %d:%d, date %v", h.Name, h.Uid, h.Gid, h.ModTime)
		}
		line := fmt.Sprintf("%c %o %s %s%s", h.Typeflag, h.Mode, h.Name, h.Linkname, content)
		lines = append(lines, strings.TrimSpace(line))
	}
}

func TestWriteTar(t *testing.T) {
	source := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(source, []byte("program"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := NewArchive()
	a.Text("/z/text", "hello", 0o640)
	a.Link("/z/link", "../text")
	a.Dir("/closed", 0o700)
	if err := a.File("/bin/program", source, 0o755); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"5 755 bin/", "0 755 bin/program program", "5 700 closed/",
		"5 755 z/", "2 777 z/link ../text", "0 640 z/text hello",
	}
	// It is written twice: for the name of the image, then for mksquashfs.
	for range 2 {
		var out bytes.Buffer
		if err := a.WriteTar(&out); err != nil {
			t.Fatal(err)
		}
		if got := listTar(t, &out); !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}

func TestWriteTarRefusesDevices(t *testing.T) {
	a := NewArchive()
	a.CharDev("/dev/null", 0o666, 1, 3)
	if err := a.WriteTar(io.Discard); err == nil || !strings.Contains(err.Error(), "dev/null: mode 20666: ") {
		t.Errorf("a device node: %v", err)
	}
}

// TestTree forgets the umask of whoever built what it takes in.
func TestTree(t *testing.T) {
	source := t.TempDir()
	if err := os.Mkdir(filepath.Join(source, "dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, perm := range map[string]os.FileMode{"dir/data": 0o600, "program": 0o700} {
		if err := os.WriteFile(filepath.Join(source, name), nil, perm); err != nil {
			t.Fatal(err)
		}
	}
	a := NewArchive()
	if err := a.Tree("/at", source); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := a.WriteTar(&out); err != nil {
		t.Fatal(err)
	}
	want := []string{"5 755 at/", "5 755 at/dir/", "0 644 at/dir/data", "0 755 at/program"}
	if got := listTar(t, &out); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestCPIOLimits adds what the 32 bits of a header, or the kernel, would cut.
func TestCPIOLimits(t *testing.T) {
	empty := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("")), nil }
	for _, test := range []struct {
		name string
		size int64
		want string
	}{
		{"guests/web/disk.img", 1 << 32, "guests/web/disk.img: has 4294967296 bytes"},
		{"guests/web/disk.img", 1<<32 + 5, "at most 4294967295"},
		{strings.Repeat("d/", 2048) + "f", 0, "the path has 4097 bytes"},
	} {
		a := NewArchive()
		a.Stream(test.name, test.size, empty, 0o444)
		if err := a.Write(io.Discard); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.40s of %d bytes: %v, want mention of %q", test.name, test.size, err, test.want)
		}
	}
	if err := CheckSize("f", MaxSize); err != nil {
		t.Error(err)
	}
}
