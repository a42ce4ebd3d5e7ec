package oom

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Highest is the process with the highest score with the kernel's out-of-memory killer, which takes that process first
// (proc(5), /proc/PID/oom_score), 0 if there is none. proc is /proc.
//
// The kernel makes it of a process's share of memory and swap space and of its standing, in thousandths each, as Score
// does.
func Highest(proc string) (pid int, err error) {
	dir, err := os.Open(proc)
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return 0, err
	}
	highest := 0
	for _, name := range names {
		process, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join(proc, name, "oom_score"))
		if err != nil {
			continue // it has ended
		}
		if score, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && score > highest {
			pid, highest = process, score
		}
	}
	return pid, nil
}

// Score is that of a process with a standing and a share of memory and swap space, in thousandths (fs/proc/base.c,
// proc_oom_score).
func Score(standing, share int) int { return (1000 + standing + share) * 2 / 3 }
