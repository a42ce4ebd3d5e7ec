package stage

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
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
	var out bytes.Buffer
	Run(context.Background(), slog.New(slog.NewTextHandler(&out, nil)),
		[]Stage{step("a", nil), step("b", errors.New("no disk")), panics, step("c", nil)})
	if got := strings.Join(ran, ""); got != "abc" {
		t.Errorf("ran %q, want abc: a failed stage does not end the boot", got)
	}
	for _, want := range []string{"msg=stage name=a ms=", `name=b ms=`, `err="no disk" remedy=look`, `err="panic: bug"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("console lacks %q:\n%s", want, out.String())
		}
	}
}
