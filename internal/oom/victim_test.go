package oom

import "testing"

func TestVictim(t *testing.T) {
	for message, want := range map[string]struct {
		pid  int
		name string
	}{
		"Out of memory: Killed process 1234 (tail) total-vm:1kB, anon-rss:2kB":      {1234, "tail"},
		"Memory cgroup out of memory: Killed process 7 (a (b) c) total-vm:1kB":      {7, "a (b) c"},
		"Out of memory: Killed process x (tail) total-vm:1kB":                       {},
		"Out of memory: Killed process 12 (tail":                                    {},
		"Out of memory and no killable processes...":                                {},
		"tail invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE), order=0": {},
		"oom_reaper: reaped process 1234 (tail), now anon-rss:0kB, file-rss:0kB":    {},
		"": {},
	} {
		pid, name, ok := Victim(message)
		if pid != want.pid || name != want.name || ok != (want.pid != 0) {
			t.Errorf("%q: %d, %q, %v", message, pid, name, ok)
		}
	}
}

func FuzzVictim(f *testing.F) {
	f.Add("Out of memory: Killed process 1234 (tail) total-vm:1kB")
	f.Fuzz(func(t *testing.T, message string) {
		if pid, _, ok := Victim(message); pid < 0 || !ok && pid != 0 {
			t.Errorf("%q: %d, %v", message, pid, ok)
		}
	})
}
