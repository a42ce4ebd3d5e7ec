package sysctl

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/zerodisc/zerodisc/internal/testns"
)

// One setting that the kernel lacks is named, and keeps no other from being set.
func TestApply(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"kernel/first", "kernel/last"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("0\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	err := apply(dir, []Setting{{"kernel.first", "1", ""}, {"kernel.none", "1", ""}, {"kernel.last", "2", ""}})
	if err == nil || !strings.Contains(err.Error(), "set kernel.none: ") || strings.Contains(err.Error(), "last") {
		t.Errorf("error %v", err)
	}
	for name, want := range map[string]string{"kernel/first": "1", "kernel/last": "2"} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !strings.HasPrefix(string(text), want) {
			t.Errorf("%s is %q, %v", name, text, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "kernel/none")); err == nil {
		t.Error("a file was made")
	}
}

func TestTable(t *testing.T) {
	var names []string
	for _, s := range Table {
		names = append(names, s.Name)
		if s.Why == "" || s.Value == "" {
			t.Errorf("%s has no reason, or no value", s.Name)
		}
	}
	slices.Sort(names)
	if len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Error("a setting is there twice")
	}
}

// TestNetwork sets those of a network namespace.
func TestNetwork(t *testing.T) {
	testns.Run(t, syscall.CLONE_NEWNET, func(t *testing.T) {
		for _, s := range Table {
			// The rest of net.ipv4 is the whole machine's.
			if !strings.Contains(s.Name, ".conf.") {
				continue
			}
			if err := Apply([]Setting{s}); err != nil {
				t.Error(err)
			}
			for _, name := range s.Names() {
				text, err := os.ReadFile(filepath.Join(dir, file(name)))
				if err != nil || strings.TrimSpace(string(text)) != s.Value {
					t.Errorf("%s is %q, %v", name, text, err)
				}
			}
		}
	})
}

// TestDocumentation holds docs/security.md to the table.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, s := range Table {
		rows = append(rows, "| `"+s.Name+"` | "+s.Value+" | "+s.Why+" |\n")
	}
	want := "| setting | value | why |\n|---|---|---|\n" + strings.Join(rows, "") + "\n"
	if !strings.Contains(string(text), want) {
		t.Errorf("docs/security.md does not have this table:\n%s", want)
	}
}
