package api

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestExamples sends the requests of docs/api.md.
func TestExamples(t *testing.T) {
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	call := regexp.MustCompile(
		`(?m)^    curl --unix-socket /run/zerodisc/api.sock (?:-X (\w+) )?(?:-d '([^']*)' )?http://host(\S+)$`)
	calls := call.FindAllStringSubmatch(string(page), -1)
	if want := strings.Count(string(page), "\n    curl "); len(calls) != want || want < 5 {
		t.Errorf("%d of %d examples are understood", len(calls), want)
	}
	w := newWorld(t, Control)
	for _, c := range calls {
		method := c[1]
		if method == "" {
			method = "GET"
		}
		if answer, text := w.ask(method, c[3], c[2]); answer.StatusCode >= 400 {
			t.Errorf("%s: %s", c[0], text)
		}
	}
}
