package disc

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/initramfs"
	"github.com/zerodisc/zerodisc/internal/toolchain"
)

// TestDocuments looks for the licence of everything that comes in no package of Debian's.
func TestDocuments(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	own := licences{zerodisc: write("zerodisc", "our licence"), golang: write("go", "Go's licence")}
	write("COPYING", "a module's licence")
	module := initramfs.Module{Path: "example.org/m", Version: "v1", Dir: dir, Licences: []string{"COPYING"}}
	files, err := documents(provenance{Compiler: "go1", Modules: []initramfs.Module{module}}, nil, own)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, f := range files {
		r, err := f.Content.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		texts[f.Path] = string(text)
	}
	for name, want := range map[string]string{
		"README":               "A live disc",
		"BUILT":                "\nexample.org/m v1\n",
		"COPYRIGHT/zerodisc":   "our licence",
		"COPYRIGHT/go":         "Go's licence",
		"COPYRIGHT/go-modules": "==== example.org/m/COPYING\n\na module's licence",
	} {
		if !strings.Contains(texts[name], want) {
			t.Errorf("%s is %q, want mention of %q", name, texts[name], want)
		}
	}
}

func TestGoLicence(t *testing.T) {
	compiler, err := toolchain.Open(t.Context(), "../..")
	if err != nil {
		t.Fatal(err)
	}
	modules, err := initramfs.UserlandModules(t.Context(), compiler, "../..")
	if err != nil {
		t.Fatal(err)
	}
	name, err := goLicence(modules)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(name); err != nil || !strings.Contains(string(text), "The Go Authors") {
		t.Errorf("%s: %.80q, %v", name, text, err)
	}
}
