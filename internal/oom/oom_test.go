package oom

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
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

// protect gives this process a standing of its own and returns it. Without the right to have a better one than
// usual, a worse one does for the tests.
func protect(t *testing.T) string {
	t.Helper()
	if before := standing(t); before != "0" {
		t.Skipf("the tests run with standing %s", before)
	}
	score := Last
	err := Protect(score)
	if errors.Is(err, fs.ErrPermission) {
		score = 900
		err = Protect(score)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Protect(Usual); err != nil {
			t.Error(err)
		}
	})
	return strconv.Itoa(score)
}

// What stage2 starts, and what that starts, many at a time, can be killed like any other process.
func TestChildrenAreNotProtected(t *testing.T) {
	own := protect(t)
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
	if got := standing(t); got != own {
		t.Errorf("the process itself has %s", got)
	}
}

// A program that cannot be started costs this process nothing.
func TestStartThatFails(t *testing.T) {
	own := protect(t)
	if err := Start(exec.Command("/nonexistent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Start = %v", err)
	}
	if got := standing(t); got != own {
		t.Errorf("the process itself has %s", got)
	}
}

func TestRunReportsTheExit(t *testing.T) {
	var exit *exec.ExitError
	if err := Run(exec.Command("/bin/sh", "-c", "exit 3")); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("Run = %v, want exit status 3", err)
	}
}
