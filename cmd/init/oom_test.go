package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// starts is a program started by package os/exec itself.
var starts = regexp.MustCompile(`(\bcmd|\bexec\.Command(Context)?\([^\n]*\))\.(Run|Start|Output|CombinedOutput)\(`)

// TestProgramsAreStartedUnprotected holds this program's packages to oom.Start: what os/exec starts by itself
// would inherit stage2's standing with the out-of-memory killer.
func TestProgramsAreStartedUnprotected(t *testing.T) {
	for code, want := range map[string]bool{
		"err := cmd.Run()":                true,
		`exec.Command("a", b()).Output()`: true,
		"oom.Run(cmd)":                    false,
	} {
		if starts.MatchString(code) != want {
			t.Fatalf("the pattern finds %q: %v", code, !want)
		}
	}
	const module = "github.com/zerodisc/zerodisc/"
	list, err := exec.Command("go", "list", "-deps", "-f", "{{.ImportPath}} {{.Dir}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for line := range strings.Lines(string(list)) {
		path, dir, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !strings.HasPrefix(path, module) || path == module+"internal/oom" {
			continue
		}
		files, err := filepath.Glob(dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			checked++
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if call := starts.Find(text); call != nil {
				t.Errorf("%s has %s...): start it with package oom", file, call)
			}
		}
	}
	if checked < 50 {
		t.Errorf("only %d files were checked", checked)
	}
}
