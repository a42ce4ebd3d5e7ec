package payload

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func tarOf(t *testing.T, headers ...tar.Header) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := []byte("content of " + h.Name)
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(content))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			w.Write(content)
		}
	}
	w.Close()
	return &b
}

func TestExtract(t *testing.T) {
	dir := t.TempDir()
	nodes, err := extract(tarOf(t,
		tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755},
		tar.Header{Typeflag: tar.TypeDir, Name: "./locked/", Mode: 0o500},
		tar.Header{Typeflag: tar.TypeReg, Name: "./locked/su", Mode: 0o4755},
		tar.Header{Typeflag: tar.TypeLink, Name: "./locked/su2", Linkname: "./locked/su"},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "./out", Linkname: "/etc"},
	), dir)
	if err != nil || len(nodes) != 4 {
		t.Fatalf("%v, %v", nodes, err)
	}
	if su := nodes[1]; su.Mode != fs.ModeSetuid|0o755 || nodes[2].Size != su.Size {
		t.Errorf("su is %+v, su2 is %+v", su, nodes[2])
	}
	if info, err := os.Stat(filepath.Join(dir, "locked/su")); err != nil || info.Mode() != 0o755 {
		t.Errorf("su on disk: %v, %v", info, err)
	}
}

func TestExtractRefuses(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	link := tar.Header{Typeflag: tar.TypeSymlink, Name: "out", Linkname: filepath.Dir(outside)}
	for name, headers := range map[string][]tar.Header{
		"dot dot":          {{Typeflag: tar.TypeReg, Name: "../outside"}},
		"absolute":         {{Typeflag: tar.TypeReg, Name: outside}},
		"through a link":   {link, {Typeflag: tar.TypeReg, Name: "out/outside"}},
		"hard link out":    {{Typeflag: tar.TypeLink, Name: "x", Linkname: "../../etc/passwd"}},
		"hard link beyond": {link, {Typeflag: tar.TypeLink, Name: "x", Linkname: "out/x"}},
		"device":           {{Typeflag: tar.TypeChar, Name: "null"}},
		"same name twice":  {{Typeflag: tar.TypeReg, Name: "a"}, {Typeflag: tar.TypeReg, Name: "a"}},
	} {
		if nodes, err := extract(tarOf(t, headers...), t.TempDir()); err == nil {
			t.Errorf("%s: %v", name, nodes)
		}
	}
	if _, err := os.Lstat(outside); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("escaped: %v", err)
	}
}

func TestExtractCut(t *testing.T) {
	whole := tarOf(t, tar.Header{Typeflag: tar.TypeReg, Name: "a", Mode: 0o644})
	if _, err := extract(bytes.NewReader(whole.Bytes()[:515]), t.TempDir()); err == nil {
		t.Error("a cut archive is taken")
	}
}

func FuzzExtract(f *testing.F) {
	f.Add([]byte("a"), "./a", "b", byte(tar.TypeReg))
	f.Add([]byte("a"), "../a", "/etc/passwd", byte(tar.TypeSymlink))
	f.Fuzz(func(t *testing.T, content []byte, name, link string, kind byte) {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		header := &tar.Header{Typeflag: kind, Name: name, Linkname: link, Size: int64(len(content)), Mode: 0o644}
		if w.WriteHeader(header) == nil {
			w.Write(content)
		}
		w.Flush()
		parent := t.TempDir()
		dir := filepath.Join(parent, "dir")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		extract(&b, dir)
		if entries, _ := os.ReadDir(parent); len(entries) != 1 {
			t.Errorf("escaped: %v", entries)
		}
	})
}
