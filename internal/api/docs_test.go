package api

import (
	"regexp"
	"testing"

	"github.com/zerodisc/zerodisc/docs"
)

// TestExamples sends the requests of docs/api.md.
func TestExamples(t *testing.T) {
	call := regexp.MustCompile(
		`^curl --unix-socket /run/zerodisc/api.sock (?:-X (\w+) )?(?:-d '([^']*)' )?http://host(\S+)$`)
	w := newWorld(t, Control)
	for _, e := range docs.Of(t, "curl") {
		c := call.FindStringSubmatch(e.Text)
		if c == nil {
			t.Errorf("%s is not understood", e.Text)
			continue
		}
		method := c[1]
		if method == "" {
			method = "GET"
		}
		if answer, text := w.ask(method, c[3], c[2]); answer.StatusCode >= 400 {
			t.Errorf("%s: %s", e.Text, text)
		}
	}
}
