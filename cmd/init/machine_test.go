package main

import (
	"errors"
	"fmt"
	"testing"

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
