//go:build !linux

package main

import (
	"context"
	"errors"
	"io"
)

// build needs apt and Debian's tools.
func build(_ context.Context, c command, args []string, out io.Writer) error {
	if _, err := c.parse(c.flags(), args, 0, out); err != nil {
		return err
	}
	return errors.New("a disc is built on Linux only; here work: mkiso add, inspect, verify, serve")
}
