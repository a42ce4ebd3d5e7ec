package config

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/docs"
)

var update = flag.Bool("update", false, "write docs/zerodisc.schema.json and the table in docs/configuration.md")

const docsDir = "../../docs/"

// TestSchema holds the schema in docs to the types.
func TestSchema(t *testing.T) {
	want, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	const name = docsDir + "zerodisc.schema.json"
	if *update {
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the types say (%v); run with -update", name, err)
	}
}

// TestTable holds the table of keys in docs to the types.
func TestTable(t *testing.T) {
	const name = docsDir + "configuration.md"
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	table := regexp.MustCompile(`(?s)\| key \| meaning \| without it \|\n.*?\n\n`)
	if !table.Match(page) {
		t.Fatal("there is no table of keys")
	}
	want := table.ReplaceAllLiteral(page, []byte(keyTable()+"\n"))
	if *update {
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(page, want) && !*update {
		t.Errorf("the table in %s is not what the types say; run with -update", name)
	}
}

// keyTable is the keys as a table of Markdown.
func keyTable() string {
	var b strings.Builder
	b.WriteString("| key | meaning | without it |\n|---|---|---|\n")
	for _, k := range Keys() {
		inner, _ := elementOf(k.field.typ, "")
		if isBlock := inner.Kind() == reflect.Struct && !isLeaf(inner); isBlock && k.Default == "" {
			continue
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.Path, strings.ReplaceAll(k.Doc, "|", "\\|"), k.Default)
	}
	return b.String()
}

// TestEveryKeyIsDescribed holds fields.txt to the types.
func TestEveryKeyIsDescribed(t *testing.T) {
	keys := Keys()
	paths := map[string]bool{}
	for _, k := range keys {
		paths[k.Path] = true
		if k.Doc == "" {
			t.Errorf("fields.txt does not say what %s means", k.Path)
		}
		if f := k.field.tag.Get("format"); f != "" && f != "bond-mode" {
			if _, ok := formats[f]; !ok {
				t.Errorf("%s: there is no format %s", k.Path, f)
			}
		}
	}
	for line := range strings.Lines(fieldText) {
		if path, _, _ := strings.Cut(line, " | "); !paths[path] {
			t.Errorf("fields.txt has %s, which is no key", path)
		}
	}
}

// TestDocumentedExamples checks the examples in docs: files have no problems, command lines neither.
func TestDocumentedExamples(t *testing.T) {
	for _, file := range docs.Of(t, "configuration") {
		for _, p := range Parse("example", []byte(file.Text)).Check() {
			t.Errorf("%v in\n%s", p, file.Text)
		}
	}
	for _, line := range docs.Of(t, "command line") {
		c := ParseCommandLine(line.Text)
		for _, p := range append(c.Problems, Validate(&c.Config)...) {
			t.Errorf("%v in\n%s", p, line.Text)
		}
		if len(Merge(Layer{Config: c.Config}).Settings) == 0 && c.URL == "" && c.NoCloud.URL == "" {
			t.Errorf("%s sets nothing", line.Text)
		}
	}
}

// TestDocumentedSettings reads the settings that sentences in docs name, in a place of a file where they belong.
func TestDocumentedSettings(t *testing.T) {
	for _, e := range docs.Of(t, "setting") {
		name, value, _ := strings.Cut(e.Text, ": ")
		fits := func(k Key) bool {
			parts := strings.Split(k.Path, ".")
			depth := len(parts) - 1
			text := strings.Join(parts, ": {") + ": " + value + strings.Repeat("}", depth)
			return parts[depth] == name && len(Parse("example", []byte(text)).Problems) == 0
		}
		if !slices.ContainsFunc(Keys(), fits) {
			t.Errorf("%s fits nowhere", e.Text)
		}
	}
}
