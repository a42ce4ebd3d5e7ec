package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/kmod"
)

func TestIsFinal(t *testing.T) {
	missing := fmt.Errorf("load module x: %w", kmod.ErrNotFound)
	nothing := fmt.Errorf("load module y: %w", unix.ENODEV)
	for _, test := range []struct {
		err  error
		want bool
	}{
		{missing, true},
		{errors.Join(missing, errors.Join(nothing)), true},
		{errors.Join(nothing, fmt.Errorf("load module z: %w", unix.ENOMEM)), false},
	} {
		if got := isFinal(test.err); got != test.want {
			t.Errorf("isFinal(%v) = %v", test.err, got)
		}
	}
}

func TestModuleThatHangsIsNotWaitedFor(t *testing.T) {
	var out bytes.Buffer
	m := &machine{system: &system{log: slog.New(slog.NewTextHandler(&out, nil))}, modules: []string{"a"}}
	end := make(chan struct{})
	t.Cleanup(func() { close(end) })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	m.loadModules(ctx, func(context.Context, ...string) error { <-end; return nil })
	if !strings.Contains(out.String(), "a driver hangs") {
		t.Errorf("log: %s", &out)
	}
	out.Reset()
	m.loadModules(t.Context(), func(_ context.Context, names ...string) error {
		return errors.Join(unix.ENODEV, errors.New(strings.Join(names, " and ")+" are broken"))
	})
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "a and evdev are broken") {
		t.Errorf("log: %s", got)
	}
}
