package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEveryExampleIsRun finds a test for each example, and examples for each test.
func TestEveryExampleIsRun(t *testing.T) {
	for _, page := range checked {
		for _, e := range read(page) {
			if owner(e) == "" {
				t.Errorf("%s: no test runs the example %q; add it to claims, and to a test", page, e.Text)
			}
		}
	}
	asked := map[string]bool{}
	calls := regexp.MustCompile(`(?:\bOf|\.example|\.succeeds|\.typed)\([^")\n]*"([^"\n]+)"`)
	for _, call := range calls.FindAllStringSubmatch(sources(t), -1) {
		asked[call[1]] = true
	}
	for _, c := range claims {
		Of(t, c.test)
		if !asked[c.test] {
			t.Errorf("no test asks for the examples of %q", c.test)
		}
	}
}

// sources returns the text of all tests.
func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "build" || d.Name() == ".git") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, "_test.go") {
			text, err := os.ReadFile(path)
			all.Write(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// TestMake holds the pages to the Makefile.
func TestMake(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range Of(t, "make") {
		if target := strings.TrimPrefix(e.Text, "make "); !strings.Contains(string(makefile), "\n"+target+":") {
			t.Errorf("%s: the Makefile has no %s", e.Page, target)
		}
	}
}

// TestNamedTests holds security.md to the booted tests that it names, and to those of them that a full run alone has.
func TestNamedTests(t *testing.T) {
	page, err := pages.ReadFile("security.md")
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile("`make vm-full` alone runs ([^.]*)\\.").FindSubmatch(page)
	if said == nil {
		t.Fatal("security.md does not say which tests a full run alone has")
	}
	var booted strings.Builder
	files, _ := filepath.Glob("../test/vm/*_test.go")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			booted.WriteString(f[1] + " " + strings.SplitN(string(text), "\n", 2)[0] + "\n")
		}
	}
	names := regexp.MustCompile("`(Test[A-Za-z]+)`")
	var full, want []string
	for _, name := range names.FindAllStringSubmatch(string(page), -1) {
		tags := regexp.MustCompile(`(?m)^` + name[1] + ` //go:build (.*)$`).FindStringSubmatch(booted.String())
		if tags == nil {
			t.Errorf("there is no %s", name[1])
		} else if strings.Contains(tags[1], "full") && !slices.Contains(full, name[1]) {
			full = append(full, name[1])
		}
	}
	for _, name := range names.FindAllStringSubmatch(string(said[1]), -1) {
		want = append(want, name[1])
	}
	slices.Sort(full)
	slices.Sort(want)
	if !slices.Equal(full, want) {
		t.Errorf("security.md says that a full run alone has %q, and it is %q", want, full)
	}
}
