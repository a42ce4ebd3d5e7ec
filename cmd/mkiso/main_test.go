package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/docs"
)

// TestRun checks exit codes, and what goes where: what was asked for to the standard output, faults to the
// standard error. No case gets as far as building something. DIR is a directory of the test's.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "settings"), []byte("timeout = 010\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	configs := t.TempDir()
	for name, text := range map[string]string{"good.yaml": "hostname: a\n", "bad.yaml": "hostnam: a\n"} {
		if err := os.WriteFile(filepath.Join(configs, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		args string
		code int
		out  []string
		err  string // regular expression
	}{
		{"-h", 0, []string{
			"mkiso [FLAGS]: build a disc", "mkiso add      make a disc with more", "-netboot DIR", "-erase",
		}, "^$"},
		{"--help", 0, []string{"mkiso verify"}, "^$"},
		{"help", 0, []string{"mkiso [FLAGS]", "mkiso serve    start the PCs next to this one"}, "^$"},
		{"help add", 0, []string{"mkiso add IN.iso [-guest DIR]... ", "-replace\n"}, "^$"},
		{"add -h", 0, []string{"mkiso add IN.iso [-guest DIR]... ", "-o FILE"}, "^$"},
		{"help version", 0, []string{"mkiso version: show the version\n"}, "^$"},
		{"version", 0, []string{"mkiso 0.", ", go1."}, "^$"},
		{"bogus", 2, nil, `^mkiso: there is no command "bogus"; there are add, check, inspect, .*builds a disc\n$`},
		{"help bogus", 2, nil, `there is no command "bogus"`},
		{"-bogus", 2, nil, `^mkiso: flag provided but not defined: -bogus; mkiso -h shows how it is used\n$`},
		{"-o", 2, nil, "flag needs an argument: -o; mkiso -h"},
		{"-o x.iso y.iso", 2, nil, `1 arguments \["y.iso"\], want 0; mkiso -h`},
		{"version x", 2, nil, `1 arguments \["x"\], want 0; mkiso version -h`},
		{"inspect", 2, nil, `0 arguments \[\], want 1; mkiso inspect -h`},
		{"add", 2, nil, `0 arguments \[\], want 1; mkiso add -h`},
		{"add in.iso", 2, nil, "-o OUT.iso is missing, the file for the new disc; mkiso add -h"},
		{"add in.iso -o out.iso", 2, nil,
			"there is nothing to add; name a guest with -guest DIR or settings with -config FILE"},
		{"add DIR/in.iso -o DIR -config DIR/settings", 1, nil, "^mkiso: -o DIR: it is a directory; name a file\n$"},
		{"add DIR/in.iso -o DIR/settings -config DIR/settings", 1, nil, "-o and -config are the same place"},
		{"add DIR/in.iso -o DIR/out.iso -config DIR/settings", 1, nil, "^mkiso: open DIR/in.iso: no such file"},
		{"check CONF/good.yaml", 0, []string{"good.yaml: 1 settings, nothing is wrong"}, "^$"},
		{"check CONF/bad.yaml", 1, []string{"bad.yaml:1:1: hostnam: there is no such key; did you mean hostname?"},
			"^mkiso: there is 1 problem; what it is about will not be used\n$"},
		{"check -schema", 0, []string{"draft/2020-12/schema"}, "^$"},
		{"check", 2, nil, `0 arguments \[\], want 1; mkiso check -h`},
		{"add DIR/in.iso -o DIR/out.iso -config CONF/bad.yaml -config CONF/bad.yaml", 2, nil,
			"bad.yaml was given already"},
		{"-o DIR/out.iso -config CONF/bad.yaml", 1, nil, "bad.yaml:1:1: hostnam: there is no such key"},
		{"inspect DIR/in.iso", 1, nil, "^mkiso: open DIR/in.iso: no such file"},
		{"-o DIR", 1, nil, "^mkiso: -o DIR: it is a directory; name a file\n$"},
		{"-o DIR/out.iso -netboot DIR", 1, nil,
			"^mkiso: -netboot DIR: it holds settings, which is no file of a netboot tree; "},
		{"-o DIR/n/out.iso -netboot DIR/n", 1, nil, "-o DIR/n/out.iso lies in -netboot DIR/n"},
		{"-o DIR/out.iso -config DIR/settings", 1, nil,
			`^mkiso: DIR/settings:1: timeout: "010": GRUB reads that as another number; write 10`},
		{"-o DIR/out.iso -config /dev/zero", 1, nil, "/dev/zero has more than 65536 bytes"},
		{"-o DIR/out.iso -with windows", 1, nil, "-with windows: there is no such option"},
	} {
		var out, errOut bytes.Buffer
		args := strings.NewReplacer("DIR", dir, "CONF", configs).Replace(test.args)
		code := run(t.Context(), strings.Fields(args), &out, &errOut)
		if code != test.code {
			t.Errorf("mkiso %s: exit code %d, want %d", test.args, code, test.code)
		}
		said := strings.ReplaceAll(errOut.String(), dir, "DIR")
		if !regexp.MustCompile(test.err).MatchString(said) {
			t.Errorf("mkiso %s: the error is %q, want %q", test.args, said, test.err)
		}
		for _, want := range test.out {
			if !strings.Contains(out.String(), want) {
				t.Errorf("mkiso %s: it does not say %q:\n%s", test.args, want, out.String())
			}
		}
		if test.code != 0 && test.out == nil && out.Len() > 0 {
			t.Errorf("mkiso %s: it says %q", test.args, out.String())
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("there is %v, %v", entries, err)
	}
}

// TestManual holds the package comment, which is the command's manual, to the commands and flags that there are.
func TestManual(t *testing.T) {
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	manual, _, _ := strings.Cut(string(source), "\npackage main")
	var help bytes.Buffer
	if code := run(t.Context(), []string{"-h"}, &help, &help); code != 0 {
		t.Fatal(help.String())
	}
	for _, flag := range regexp.MustCompile(`(?m)^  -[a-z-]+`).FindAllString(help.String(), -1) {
		if !strings.Contains(manual, "["+strings.TrimSpace(flag)) {
			t.Errorf("the manual does not have the flag %s", flag)
		}
	}
	for _, c := range commands() {
		if line := strings.TrimSpace("mkiso " + c.name + " " + c.args); !strings.Contains(manual, "\t"+line+"\n") {
			t.Errorf("the manual does not have the line %q", line)
		}
	}
}

// TestExamples runs the commands in docs as far as they go without a disc and without building one: what they say
// is understood, and a configuration is read.
func TestExamples(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "zerodisc.yaml")
	if err := os.WriteFile(file, []byte(docs.Of(t, "configuration")[0].Text), 0o644); err != nil {
		t.Fatal(err)
	}
	names := strings.NewReplacer("zerodisc.", dir+"/zerodisc.", "mine.", dir+"/mine.")
	for _, e := range docs.Of(t, "mkiso") {
		args := strings.Fields(names.Replace(e.Text))[1:]
		want := "^mkiso: open DIR/zerodisc.iso: no such file or directory\n$"
		switch {
		case len(args) == 1: // it is about the command
			args, want = append(args, "-h"), "^$"
		case strings.HasPrefix(args[0], "-"): // guests are looked at last of what it is asked for
			args = append(args, "-o", dir+"/mine.iso", "-guests", dir+"/guests")
			want = "^mkiso: DIR/guests: there are no guests in this directory; "
		case !strings.Contains(e.Text, "zerodisc.iso"):
			want = "^$"
		}
		var out, errOut bytes.Buffer
		run(t.Context(), args, &out, &errOut)
		said := strings.ReplaceAll(errOut.String(), dir, "DIR")
		if !regexp.MustCompile(want).MatchString(said) {
			t.Errorf("%s: %s%s, want %s", e.Text, &out, said, want)
		}
	}
}
