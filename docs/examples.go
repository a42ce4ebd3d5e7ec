// Package docs has the pages of this directory for tests: each example in a page belongs to one, which runs it.
package docs

import (
	"embed"
	"regexp"
	"slices"
	"strings"
	"testing"
)

//go:embed *.md
var pages embed.FS

// checked are the pages of which every example is run.
var checked = []string{"configuration.md", "networking.md", "security.md", "operations.md", "api.md"}

// Example is what a page has to be typed or written, or shows of an answer.
type Example struct {
	Page string
	Kind Kind
	Text string
}

// Kind is where in a page an example is.
type Kind string

// Kinds of examples. A command's comment, which begins with " # ", is no part of it.
const (
	File        Kind = "yaml"    // a fenced block
	CommandLine Kind = "cmdline" // a line of a fenced block
	Line        Kind = "line"    // of an indented block
	Inline      Kind = "inline"  // a command, a parameter, a setting or a console line in a sentence
)

// commands are what in a sentence is typed or written, or is a line of the console.
var commands = regexp.MustCompile(`^(curl|guest|logs|make|mkiso|nft|openssl|scp|services|sftp|ssh|ssh-copy-id|xl) |` +
	`^(du [A-Z]+|free|mkpasswd|ps|services|ssh-password|status|zerodisc-(report|config))$|` +
	`^zerodisc\.[a-z-]+(=.*)?$|^msg=|^[a-z-]+: `)

// names of files look like parameters.
var names = regexp.MustCompile(`^zerodisc\.(iso|schema\.json|yaml)$`)

var (
	fenced = regexp.MustCompile("(?ms)^```([^\n]*)\n(.*?)^```$")
	quoted = regexp.MustCompile("`([^`\n]+)`")
)

// read returns the examples of a page.
func read(page string) []Example {
	text, err := pages.ReadFile(page)
	if err != nil {
		panic(err) // it is embedded
	}
	var found []Example
	for _, block := range fenced.FindAllStringSubmatch(string(text), -1) {
		parts := []string{block[2]}
		if Kind(block[1]) != File {
			parts = strings.Split(strings.TrimSpace(block[2]), "\n")
		}
		for _, part := range parts {
			found = append(found, Example{page, Kind(block[1]), part})
		}
	}
	for line := range strings.Lines(fenced.ReplaceAllString(string(text), "")) {
		if code, ok := strings.CutPrefix(line, "    "); ok {
			code, _, _ = strings.Cut(code, "  # ")
			found = append(found, Example{page, Line, strings.TrimSpace(code)})
			continue
		}
		for _, q := range quoted.FindAllStringSubmatch(line, -1) {
			if commands.MatchString(q[1]) && !names.MatchString(q[1]) {
				found = append(found, Example{page, Inline, q[1]})
			}
		}
	}
	return found
}

// claim says to which test an example belongs.
type claim struct {
	test    string // what the test calls Of with
	kinds   []Kind
	pattern *regexp.Regexp
}

var (
	typed = []Kind{Line, Inline}
	match = regexp.MustCompile
)

// claims are those of all tests. The first that fits an example counts.
var claims = []claim{
	{"configuration", []Kind{File}, match(``)},
	{"setting", []Kind{Inline}, match(`^[a-z-]+: `)},
	{"command line", []Kind{CommandLine}, match(``)},
	{"parameter", []Kind{Inline}, match(`^zerodisc\.`)},
	{"message", []Kind{Inline}, match(`^(msg=|guest (flood|restarts|traffic refused)\b|ssh refused\b)`)},
	{"source", []Kind{Line}, match(`^level=`)},
	{"syslog", []Kind{Line}, match(`^(zerodisc\.syslog=|<3>1 )`)},
	{"curl", []Kind{Line}, match(`^curl `)},
	{"udev", []Kind{Line}, match(`^SUBSYSTEM==`)},
	{"completion", []Kind{Line}, match(`^eval `)},
	{"guest", typed, match(`^guest `)},
	{"logs", typed, match(`^logs( |$)`)},
	{"mkiso", []Kind{Inline}, match(`^mkiso `)},
	{"make", []Kind{Inline}, match(`^make `)},
	{"hash", []Kind{Inline}, match(`^(mkpasswd|openssl passwd -6)$`)},
	{"services", typed, match(`^services( |$)`)},
	{"report", []Kind{Line}, match(`^zerodisc-report -o /state/report.tgz$`)},
	{"dom0", []Kind{Inline}, match(`^(xl (dmesg|info|list)|du DIR|free|ps|ssh-password|status|zerodisc-config)$`)},
	{"ssh", []Kind{Line}, match(`^ssh root@192\.168\.1\.20$`)},
	{"ssh-copy-id", []Kind{Line}, match(`^ssh-copy-id root@192\.168\.1\.20$`)},
	{"ssh command", []Kind{Inline}, match(`^ssh root@host xl list$`)},
	{"ssh console", []Kind{Inline}, match(`^ssh -t root@host xl console NAME$`)},
	{"console", []Kind{Inline}, match(`^xl console$`)},
	{"create", []Kind{Inline}, match(`^xl create$`)},
	{"attach", []Kind{Inline}, match(`^xl block-attach$`)},
	{"detach", []Kind{Inline}, match(`^xl block-detach$`)},
	{"ssh report", []Kind{Line}, match(`^ssh root@HOST zerodisc-report > report\.tgz$`)},
	{"ssh guest", []Kind{Inline}, match(`^ssh -L 8080:tty1:80 root@host$`)},
	{"ssh API", []Kind{Inline}, match(`^ssh -N -L \./api\.sock:/run/zerodisc/api\.sock root@HOST$`)},
	{"scp", []Kind{Line}, match(`^scp -r web root@host:$`)},
	{"scp create", []Kind{Line}, match(`^ssh root@host xl create web/web\.cfg$`)},
	{"scp state", []Kind{Line}, match(`^scp -r web root@host:/state/guests/$`)},
	{"scp old", []Kind{Inline}, match(`^scp -O$`)},
}

// owner is the test to which an example belongs, "" for none.
func owner(e Example) string {
	for _, c := range claims {
		if slices.Contains(c.kinds, e.Kind) && c.pattern.MatchString(e.Text) {
			return c.test
		}
	}
	return ""
}

// Of returns the examples that belong to a test, each once. There is at least one.
func Of(t *testing.T, test string) []Example {
	t.Helper()
	var found []Example
	for _, page := range checked {
		for _, e := range read(page) {
			same := func(other Example) bool { return other.Kind == e.Kind && other.Text == e.Text }
			if owner(e) == test && !slices.ContainsFunc(found, same) {
				found = append(found, e)
			}
		}
	}
	if len(found) == 0 {
		t.Fatalf("docs has no example for the test %q", test)
	}
	return found
}
