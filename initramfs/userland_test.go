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

func TestUserlandImage(t *testing.T) {
	p := programs{init: filepath.Join(t.TempDir(), "init")}
	if err := os.WriteFile(p.init, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	commands, err := urootCommands(t.Context(), "..")
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
	want := slices.Concat(applets, []string{"/usr/bin/sh", "/usr/bin/ls"})
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
	modules, err := UserlandModules(t.Context(), "..")
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
	if m := found["github.com/peterh/liner"]; !slices.Contains(m.Licences, "COPYING") || !strings.HasPrefix(m.Version, "v") {
		t.Errorf("the shell's line editor: %+v", m)
	}
	if m, ok := found["github.com/charmbracelet/bubbletea"]; ok {
		t.Errorf("%s is not compiled in", m.Path)
	}
}
