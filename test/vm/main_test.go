//go:build vm

package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// scratch is a directory for what several tests of this process use.
var scratch string

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// run runs the tests. It keeps the list of the machines that the emulator broke, and shows it at the end.
func run(m *testing.M) (code int, err error) {
	if scratch, err = os.MkdirTemp("", "zerodisc-vm-"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(scratch)
	if os.Getenv(brokenFile) != "" { // a test in a namespace of its own
		return m.Run(), nil
	}
	list, err := newBrokenList()
	if err != nil {
		return 1, err
	}
	code = m.Run()
	text, err := os.ReadFile(list)
	if len(text) > 0 {
		fmt.Printf("THE EMULATOR BROKE (%d are forgiven in a run):\n%s", maxBroken, text)
	}
	return code, err
}

// newBrokenList makes the empty list and tells this process and its children where it is.
func newBrokenList() (string, error) {
	list, err := filepath.Abs(filepath.Join(buildDir, "vm", "broken.txt"))
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(list), 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(list, nil, 0o644); err != nil {
		return "", err
	}
	return list, os.Setenv(brokenFile, list)
}
