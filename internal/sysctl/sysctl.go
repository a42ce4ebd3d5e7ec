// Package sysctl sets the kernel's settings (Linux, Documentation/admin-guide/sysctl, networking/ip-sysctl.rst). All
// that dom0 wants stand in one table, each with its reason.
package sysctl

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Setting is what one of the kernel's settings is to be.
type Setting struct {
	Name  string // as sysctl(8) has it: "kernel.kptr_restrict"; see Table about asterisks
	Value string
	Why   string
}

// Names are the kernel's settings that one stands for.
func (s Setting) Names() []string {
	if !strings.Contains(s.Name, "*") {
		return []string{s.Name}
	}
	return []string{strings.Replace(s.Name, "*", "all", 1), strings.Replace(s.Name, "*", "default", 1)}
}

// dir has a file for each setting.
const dir = "/proc/sys"

// file is where a setting is below dir. No name here has a dot in one of its parts.
func file(name string) string { return strings.ReplaceAll(name, ".", "/") }

// Apply sets all of them. One that cannot be set, or that this kernel does not have, keeps none from being set; the
// error names each.
func Apply(settings []Setting) error { return apply(dir, settings) }

func apply(dir string, settings []Setting) error {
	var errs []error
	for _, s := range settings {
		for _, name := range s.Names() {
			errs = append(errs, set(dir, name, s.Value))
		}
	}
	return errors.Join(errs...)
}

// Set sets one.
func Set(name, value string) error { return set(dir, name, value) }

func set(dir, name, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, file(name)), os.O_WRONLY, 0) // none is made where there is none
	if err == nil {
		_, err = f.WriteString(value)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	return nil
}
