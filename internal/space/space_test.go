package space

import (
	"errors"
	"fmt"
	"testing"
)

func TestFull(t *testing.T) {
	for _, test := range []struct {
		usage        Usage
		before, want bool
	}{
		{Usage{Bytes: 3200, Free: 100}, false, false}, {Usage{Bytes: 3200, Free: 99}, false, true},
		{Usage{Bytes: 3200, Free: 199}, true, true}, {Usage{Bytes: 3200, Free: 200}, true, false},
		{Usage{Bytes: 3200, Free: 3200, Files: 64, FreeFiles: 1}, false, true},
		{Usage{Bytes: 3200, Free: 3200, Files: 64, FreeFiles: 2}, false, false},
		{Usage{}, false, false}, // a file system without limits
	} {
		if got := test.usage.full(test.before); got != test.want {
			t.Errorf("%+v, %v: %v", test.usage, test.before, got)
		}
	}
}

// Each change is told once, and what cannot be asked changes nothing.
func TestTold(t *testing.T) {
	var told []string
	free := map[string]int64{"/run": 64, "/tmp": 64}
	w := Watcher{
		Dirs: []string{"/run", "/tmp", "/gone"},
		Tell: func(dir string, full bool, _ Usage) { told = append(told, fmt.Sprint(dir, " ", full)) },
		Look: func(dir string) (Usage, error) {
			if free[dir] < 0 || dir == "/gone" {
				return Usage{}, errors.New("no answer")
			}
			return Usage{Bytes: 64, Free: free[dir]}, nil
		},
	}
	for _, now := range []int64{64, 0, 0, 3, -1, 4} {
		free["/tmp"] = now
		w.once()
	}
	if got, want := fmt.Sprint(told), "[/tmp true /tmp false]"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
}

func TestStatfs(t *testing.T) {
	if u, err := Statfs(t.TempDir()); err != nil || u.Bytes == 0 || u.Free > u.Bytes {
		t.Errorf("%+v, %v", u, err)
	}
}
