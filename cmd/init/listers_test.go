package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestRunPrintable has a program print a name with an escape sequence to a terminal, and to something else.
func TestRunPrintable(t *testing.T) {
	for _, test := range []struct {
		terminal bool
		want     string
	}{{true, `\x1b[31mx` + "\ty\n"}, {false, "\x1b[31mx\ty\n"}} {
		var outs [2]*os.File
		for i, name := range []string{"stdout", "stderr"} {
			f, err := os.Create(filepath.Join(t.TempDir(), name))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			outs[i] = f
		}
		cmd := exec.Command("sh", "-c", `printf '\033[31mx\ty\n'; printf '\033[31mx\ty\n' >&2; exit 3`)
		status := runPrintable(cmd, outs[0], outs[1], func(*os.File) bool { return test.terminal })
		for _, f := range outs {
			if got, err := os.ReadFile(f.Name()); err != nil || string(got) != test.want {
				t.Errorf("%s: %q, %v, want %q", f.Name(), got, err, test.want)
			}
		}
		if status != 3 {
			t.Errorf("status %d", status)
		}
	}
}
