package initramfs

import (
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/toolchain"
)

// mountedLinks returns the links of an archive that is mounted at dir: path -> target's path.
func mountedLinks(t *testing.T, a *Archive, dir string) map[string]string {
	t.Helper()
	links := map[string]string{}
	for name, r := range a.records {
		if r.Mode&cpio.S_IFMT != cpio.S_IFLNK {
			continue
		}
		target, err := io.ReadAll(io.NewSectionReader(r.ReaderAt, 0, int64(r.FileSize)))
		if err != nil {
			t.Fatal(err)
		}
		at, to := path.Join(dir, name), string(target)
		if !path.IsAbs(to) {
			to = path.Join(path.Dir(at), to)
		}
		links[at] = to
	}
	return links
}

// compiler is the Go that go.mod pins.
func compiler(t *testing.T) *toolchain.Toolchain {
	t.Helper()
	c, err := toolchain.Open(t.Context(), "..")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestUserlandImage(t *testing.T) {
	p := programs{init: filepath.Join(t.TempDir(), "init")}
	if err := os.WriteFile(p.init, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	commands, err := urootCommands(t.Context(), compiler(t), "..")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range commands {
		p.commands = append(p.commands, path.Base(name))
	}
	a, err := userlandImage(p)
	if err != nil {
		t.Fatal(err)
	}
	links := mountedLinks(t, a, "/usr")
	for name, target := range links {
		for range 3 { // links in a row
			if next, ok := links[target]; ok {
				target = next
			}
		}
		if target != boot.InitProgram {
			t.Errorf("%s leads to %s, not to %s", name, target, boot.InitProgram)
		}
		if dir := path.Dir(name); dir != "/usr/bin" && dir != "/usr/sbin" {
			t.Errorf("%s is not where PATH leads", name)
		}
	}
	want := slices.Concat(applets, []string{"/usr/bin/ls"})
	for _, name := range p.commands {
		want = append(want, "/usr/bin/"+name)
	}
	for _, name := range want {
		if links[name] == "" {
			t.Errorf("there is no %s", name)
		}
	}
	if r, ok := a.records["bin/init"]; !ok || r.Mode != cpio.S_IFREG|0o755 {
		t.Errorf("init is %v", r)
	}
}

// TestUserlandModules looks for a module that is there, and for one that is not, because of the tags.
func TestUserlandModules(t *testing.T) {
	modules, err := UserlandModules(t.Context(), compiler(t), "..")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]Module{}
	for _, m := range modules {
		found[m.Path] = m
		if len(m.Licences) == 0 {
			t.Errorf("no licence in %s", m.Dir)
		}
	}
	m := found["github.com/peterh/liner"]
	if !slices.Contains(m.Licences, "COPYING") || !strings.HasPrefix(m.Version, "v") {
		t.Errorf("the shell's line editor: %+v", m)
	}
	if m, ok := found["github.com/charmbracelet/bubbletea"]; ok {
		t.Errorf("%s is not compiled in", m.Path)
	}
}

// anotherGo puts a go command first in PATH that has the pinned version's number and compiles something else,
// and sets what would change what any Go compiles.
func anotherGo(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	script := `#!/bin/sh
case $1 in
build) while [ "$1" != -o ]; do shift; done; echo "compiled by another Go" >"$2";;
*) PATH=${PATH#*:}; exec go "$@";;
esac
`
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	for name, value := range map[string]string{"GOFLAGS": "-gcflags=-N", "GOAMD64": "v3", "GOFIPS140": "latest"} {
		t.Setenv(name, value)
	}
}

// TestAnotherGo compiles stage1 twice: the second time for a person who has another Go and settings of their own.
func TestAnotherGo(t *testing.T) {
	compile := func() string {
		t.Helper()
		in := Inputs{Source: "..", Go: compiler(t)}
		program := filepath.Join(t.TempDir(), "stage1")
		if err := in.goBuild(t.Context(), "-o", program, "./cmd/init/stage1"); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	first := compile()
	anotherGo(t)
	if compile() != first {
		t.Error("another Go in PATH gives another program")
	}
}
