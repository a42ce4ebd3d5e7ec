package boot

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/zerodisc/zerodisc/docs"
)

// constants returns the string constants of a file of this package whose names begin with prefix.
func constants(t *testing.T, file, prefix string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, prefix) || len(spec.Values) != 1 {
			return true
		}
		if literal, ok := spec.Values[0].(*ast.BasicLit); ok && literal.Kind == token.STRING {
			value, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, value)
		}
		return true
	})
	if len(values) == 0 {
		t.Fatalf("%s has no constants %s*", file, prefix)
	}
	return values
}

// rows returns the first cell of each row of the tables in a page of docs, without its quotes.
func rows(t *testing.T, page string) []string {
	t.Helper()
	text, err := os.ReadFile("../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	var cells []string
	for _, match := range regexp.MustCompile("(?m)^\\| `([^`]*)` \\|").FindAllStringSubmatch(string(text), -1) {
		cells = append(cells, match[1])
	}
	return cells
}

func TestEveryKeyIsListed(t *testing.T) {
	declared := constants(t, "cmdline.go", "Key")
	slices.Sort(declared)
	if listed := slices.Sorted(slices.Values(Keys)); !slices.Equal(declared, listed) {
		t.Errorf("Keys has %q, declared are %q", listed, declared)
	}
}

func TestKernelParametersAreDocumented(t *testing.T) {
	var documented []string
	for _, cell := range rows(t, "kernel-parameters.md") {
		key, _, _ := strings.Cut(cell, "=")
		documented = append(documented, key)
	}
	for _, key := range Keys {
		if !slices.Contains(documented, key) {
			t.Errorf("docs/kernel-parameters.md does not say what %s does", key)
		}
	}
	for _, key := range documented {
		if strings.HasPrefix(key, Prefix) && !Known(key) {
			t.Errorf("docs/kernel-parameters.md has %s, which init does not know", key)
		}
	}
}

func TestConsoleLinesAreDocumented(t *testing.T) {
	names, documented := constants(t, "console.go", "Msg"), rows(t, "console.md")
	for _, name := range names {
		if !slices.Contains(documented, name) {
			t.Errorf("docs/console.md does not have %q", name)
		}
	}
	for _, name := range documented {
		if !slices.Contains(names, name) {
			t.Errorf("docs/console.md has %q, which no line is called", name)
		}
	}
}

// TestExamples looks up the parameters and the console lines that sentences in docs name.
func TestExamples(t *testing.T) {
	for _, e := range docs.Of(t, "parameter") {
		if key, _, _ := strings.Cut(e.Text, "="); !Known(key) {
			t.Errorf("docs/%s has %s, which init does not know", e.Page, key)
		}
	}
	names := constants(t, "console.go", "Msg")
	for _, e := range docs.Of(t, "message") {
		name := regexp.MustCompile(` \w+=.*`).ReplaceAllString(strings.TrimPrefix(e.Text, "msg="), "")
		name = strings.Trim(name, `"`)
		if !slices.Contains(names, name) {
			t.Errorf("docs/%s has %q, which no line is called", e.Page, name)
		}
	}
}

// Packages of one side that the other must not import.
var (
	buildSide = []string{
		"initramfs", "grub", "internal/atomicfile", "internal/bom", "internal/buildcache", "internal/disc",
		"internal/elfdeps", "internal/fat", "internal/guestdir", "internal/iso9660", "internal/netserve",
		"internal/output", "internal/payload", "internal/release", "internal/remaster",
		"internal/sourcedate", "internal/toolchain",
	}
	// bothSides are libraries that know neither side. All other packages below internal belong to the run side.
	bothSides = []string{
		"internal/blkid", "internal/bytesize", "internal/config", "internal/dhcpwire", "internal/disks",
		"internal/keymap", "internal/kmod", "internal/lazyregexp", "internal/passwd", "internal/printable",
		"internal/progress", "internal/sha256sums", "internal/testns", "internal/timezone",
	}
)

// runSide lists the packages that the build side must not import.
func runSide(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("../internal")
	if err != nil {
		t.Fatal(err)
	}
	var packages []string
	for _, entry := range entries {
		name := "internal/" + entry.Name()
		if !slices.Contains(buildSide, name) && !slices.Contains(bothSides, name) {
			packages = append(packages, name)
		}
	}
	return packages
}

func TestSidesDoNotMix(t *testing.T) {
	const module = "github.com/zerodisc/zerodisc/"
	for _, side := range []struct {
		programs, forbidden []string
	}{
		{[]string{module + "cmd/init", module + "cmd/init/stage1"}, buildSide},
		{[]string{module + "cmd/mkiso"}, runSide(t)},
	} {
		out, err := exec.Command("go", append([]string{"list", "-deps"}, side.programs...)...).Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		imported := strings.Fields(string(out))
		for _, name := range side.forbidden {
			if _, err := os.Stat("../" + name); err != nil {
				t.Errorf("%s: %v; correct the lists above", name, err)
			}
			if slices.Contains(imported, module+name) {
				t.Errorf("%s import %s, which belongs to the other side", side.programs, name)
			}
		}
	}
}

// TestHackingNamesWhatThereIs holds docs/hacking.md to the files and functions that it names as examples.
func TestHackingNamesWhatThereIs(t *testing.T) {
	text, err := os.ReadFile("../docs/hacking.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`((?:cmd|docs|grub|guests|internal|scripts|test)/[a-z0-9_./-]+)`")
	paths := named.FindAllStringSubmatch(string(text), -1)
	if len(paths) < 20 {
		t.Errorf("only %d paths are named", len(paths))
	}
	for _, path := range paths {
		if _, err := os.Stat("../" + path[1]); err != nil {
			t.Error(err)
		}
	}
	names := regexp.MustCompile("`([A-Za-z]+)` in `([a-z0-9_./-]+\\.go)`").FindAllStringSubmatch(string(text), -1)
	if len(names) < 8 {
		t.Errorf("only %d functions and types are named", len(names))
	}
	for _, name := range names {
		source, err := os.ReadFile("../" + name[2])
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`(?m)^(func (\([^)]*\) )?|type |var )` + name[1] + `\b`).Match(source) {
			t.Errorf("%s has no %s", name[2], name[1])
		}
	}
}

// maxColumns is how wide a line of code may be, with tabs of tabWidth: two files fit side by side.
const maxColumns, tabWidth = 120, 4

func TestLinesFit(t *testing.T) {
	files := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "build" || d.Name() == ".git") {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		files++
		text, err := os.ReadFile(path)
		for i, line := range strings.Split(string(text), "\n") {
			columns := utf8.RuneCountInString(line) + (tabWidth-1)*strings.Count(line, "\t")
			if columns > maxColumns {
				t.Errorf("%s:%d has %d columns, the limit is %d", path, i+1, columns, maxColumns)
			}
		}
		return err
	})
	if err != nil || files < 100 {
		t.Errorf("%d files were read: %v", files, err)
	}
}
