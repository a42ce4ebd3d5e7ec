package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/guests"
)

func TestWithSaved(t *testing.T) {
	list := func(dir string, names ...string) (all []*guests.Guest) {
		for _, name := range names {
			all = append(all, &guests.Guest{Name: name, Dir: dir})
		}
		return all
	}
	got := withSaved(list("medium", "a", "b", "c", "d"), list("state", "b", "aa"), []*guests.Error{{Guest: "d"}})
	var names []string
	for _, g := range got {
		names = append(names, g.Dir+"/"+g.Name)
	}
	if got, want := strings.Join(names, " "), "medium/a state/aa state/b medium/c"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What is not on the state volume is not written to by guests, whatever its path pretends.
func TestOnState(t *testing.T) {
	file := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{file, "/state", "/state/../" + file, "/does/not/exist", "/dev/null", ""} {
		if onState(target) {
			t.Errorf("%q is on the state volume", target)
		}
	}
}
