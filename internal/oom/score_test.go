package oom

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestHighest(t *testing.T) {
	proc := t.TempDir()
	for process, score := range map[string]string{"1": "666\n", "7": "877\n", "99": "2\n", "self": "999\n", "12": "x"} {
		if err := os.Mkdir(filepath.Join(proc, process), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(proc, process, "oom_score"), []byte(score), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(proc, "13"), 0o755); err != nil { // it has just ended
		t.Fatal(err)
	}
	if got, err := Highest(proc); err != nil || got != 7 {
		t.Errorf("Highest = %d, %v", got, err)
	}
	if _, err := Highest(filepath.Join(proc, "none")); err == nil {
		t.Error("there is no /proc, and no error")
	}
}

// The kernel's own score of this process is ours for the little memory that it has.
func TestScore(t *testing.T) {
	if standing(t) != "0" {
		t.Skip("the tests run with a standing of their own")
	}
	text, err := os.ReadFile("/proc/self/oom_score")
	if err != nil {
		t.Skip(err)
	}
	got, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || got < Score(Usual, 0) || got > Score(Usual, 100) {
		t.Errorf("the score is %d, %v, for no memory it is %d", got, err, Score(Usual, 0))
	}
	if Score(Person, 0) != Score(Usual, Person) {
		t.Error("a standing is not a share of memory")
	}
}
