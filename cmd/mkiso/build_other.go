//go:build !linux

package main

import (
	"context"
	"errors"
)

// build needs apt and Debian's tools.
func build(context.Context, []string) error {
	return errors.New("a disc is built on Linux only; here work: mkiso add, inspect, verify")
}
