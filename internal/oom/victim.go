package oom

import (
	"strconv"
	"strings"
)

// Victim reads what the kernel says when it has killed a process (mm/oom_kill.c, __oom_kill_process):
//
//	Out of memory: Killed process 1234 (name) total-vm:...
//
// A process chooses its name itself; it may have brackets in it.
func Victim(message string) (pid int, name string, ok bool) {
	_, rest, ok := strings.Cut(message, "ut of memory: Killed process ")
	number, rest, isNumber := strings.Cut(rest, " (")
	end := strings.LastIndex(rest, ") total-vm:")
	id, err := strconv.ParseUint(number, 10, 31)
	if !ok || !isNumber || end < 0 || err != nil {
		return 0, "", false
	}
	return int(id), rest[:end], true
}
