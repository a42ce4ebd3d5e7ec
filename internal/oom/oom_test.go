package oom

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// standing reads this process's own standing.
func standing(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		t.Skip(err)
	}
	return strings.TrimSpace(string(text))
}

func protect(t *testing.T) {
	t.Helper()
	before := standing(t)
	if before != "0" {
		t.Skipf("the tests run with standing %s", before)
	}
	err := Protect(Last)
	if errors.Is(err, fs.ErrPermission) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Protect(Usual); err != nil {
			t.Error(err)
		}
	})
}

// What stage2 starts, and what that starts, many at a time, can be killed like any other process.
func TestChildrenAreNotProtected(t *testing.T) {
	protect(t)
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			cmd := exec.Command("/bin/sh", "-c", "cat /proc/self/oom_score_adj; sh -c 'cat /proc/self/oom_score_adj'")
			var out bytes.Buffer
			cmd.Stdout = &out
			if err := Run(cmd); err != nil {
				t.Error(err)
			}
			if got := out.String(); got != "0\n0\n" {
				t.Errorf("a child and its child have %q, want 0 each", got)
			}
		})
	}
	group.Wait()
	if got := standing(t); got != "-900" {
		t.Errorf("the process itself has %s", got)
	}
}

// A program that cannot be started costs this process nothing.
func TestStartThatFails(t *testing.T) {
	protect(t)
	if err := Start(exec.Command("/nonexistent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Start = %v", err)
	}
	if got := standing(t); got != "-900" {
		t.Errorf("the process itself has %s", got)
	}
}

func TestRunReportsTheExit(t *testing.T) {
	var exit *exec.ExitError
	if err := Run(exec.Command("/bin/sh", "-c", "exit 3")); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("Run = %v, want exit status 3", err)
	}
}
