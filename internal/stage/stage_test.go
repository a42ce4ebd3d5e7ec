package stage

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	var ran []string
	step := func(name string, err error) Stage {
		return Stage{Name: name, Remedy: "look", Run: func(context.Context) error {
			ran = append(ran, name)
			return err
		}}
	}
	panics := Stage{Name: "p", Run: func(context.Context) error { panic("bug") }}
	var results []string
	report := func(r Result) {
		line := r.Name
		if r.Err != nil {
			line += ": " + r.Err.Error() + "; " + r.Remedy
		}
		results = append(results, line)
	}
	Run(context.Background(), report, []Stage{step("a", nil), step("b", errors.New("no disk")), panics, step("c", nil)})
	if got := strings.Join(ran, ""); got != "abc" {
		t.Errorf("ran %q, want abc: a failed stage does not end the boot", got)
	}
	if got, want := strings.Join(results, "|"), "a|b: no disk; look|p: panic: bug; |c"; got != want {
		t.Errorf("reported %s, want %s", got, want)
	}
}
