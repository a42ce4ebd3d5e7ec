package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestSwitchOn switches on a processor that may not be used at once.
func TestSwitchOn(t *testing.T) {
	dir := t.TempDir()
	early, device := filepath.Join(dir, "early"), filepath.Join(dir, "cpu1")
	file := filepath.Join(device, "online")
	if err := os.Mkdir(early, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(early, "online"), []byte("0"), 0o644); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(150*time.Millisecond, func() { _ = os.Rename(early, device) })
	if err := switchOn(t.Context(), device); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(file); string(got) != "1" {
		t.Errorf("online is %q, %v", got, err)
	}
}
