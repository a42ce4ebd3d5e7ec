//go:build vm

package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestMain keeps the list of the machines that the emulator broke, and shows it at the end.
func TestMain(m *testing.M) {
	if os.Getenv(brokenFile) != "" { // a test in a namespace of its own
		os.Exit(m.Run())
	}
	list, err := newBrokenList()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if text, err := os.ReadFile(list); err != nil || len(text) > 0 {
		fmt.Printf("THE EMULATOR BROKE (%d are forgiven in a run):\n%s", maxBroken, text)
	}
	os.Exit(code)
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
