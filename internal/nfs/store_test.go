package nfs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/host"
)

// server is a fake server: its export is a directory.
type server struct {
	mu     sync.Mutex
	files  map[string]string
	faults []error       // of the next mounts
	hang   chan struct{} // Ask waits until it is closed; nil: it answers
	fault  error         // of Ask
	mounts int
	gone   int // unmounts
}

func (s *server) Mount(_ context.Context, _ Source, dir string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mounts++
	if len(s.faults) > 0 {
		err := s.faults[0]
		s.faults = s.faults[1:]
		return "", err
	}
	for name, text := range s.files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	return "4.2", nil
}

func (s *server) Unmount(string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone++
	s.fault = nil
	return nil
}

func (s *server) Ask(string) error {
	s.mu.Lock()
	hang, fault := s.hang, s.fault
	s.mu.Unlock()
	if hang != nil {
		<-hang
	}
	return fault
}

func (s *server) set(hang chan struct{}, fault error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hang, s.fault = hang, fault
}

// client is a Store that runs, with what came of it.
type client struct {
	dir     string
	told    chan host.Remote
	started chan string
	refused chan *guests.Error
}

func follow(t *testing.T, s *server, url string) *client {
	t.Helper()
	source, err := Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{
		dir: t.TempDir(), told: make(chan host.Remote, 100), started: make(chan string, 10),
		refused: make(chan *guests.Error, 10),
	}
	store := Store{
		Source: source, Kernel: s, Dir: c.dir, Refuse: func(e *guests.Error, _ string) { c.refused <- e },
		Start: func(_ context.Context, g *guests.Guest) {
			if g.Trusted {
				t.Errorf("%s is trusted", g.Name)
			}
			c.started <- g.Name
		},
		Uses: func(dir string) []string { return []string{"uses " + filepath.Base(dir)} },
		Tell: func(r host.Remote) { c.told <- r },
		Timing: Timing{
			FirstPause: time.Millisecond, MaxPause: 5 * time.Millisecond, Grace: time.Nanosecond,
			Look: 5 * time.Millisecond, Patience: 50 * time.Millisecond,
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := store.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return c
}

func next[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case value := <-c:
		return value
	case <-time.After(20 * time.Second):
		t.Fatal("nothing comes")
		panic("unreachable")
	}
}

const config = "kernel = \"vmlinuz\"\nmemory = 64\n"

// TestStore mounts when the server is there at last, and starts what it finds, in all three places.
func TestStore(t *testing.T) {
	s := &server{
		faults: []error{unix.ECONNREFUSED, unix.ECONNREFUSED, unix.EACCES},
		files: map[string]string{
			"guests/one/one.cfg": config, "zerodisc/guests/two/two.cfg": config, "three/three.cfg": config,
			"other/readme": "", "guests/bad/bad.cfg": "kernel = [",
		},
	}
	c := follow(t, s, "nfs://nas/srv/xen")
	for _, want := range []string{"start the server", "this machine's address"} {
		if r := next(t, c.told); r.State != host.RemoteWaiting || !strings.Contains(r.Remedy, want) {
			t.Errorf("%+v, want %s", r, want)
		}
	}
	r := next(t, c.told)
	mount := filepath.Join(c.dir, "xen")
	if r.State != host.RemoteConnected || r.Version != "4.2" || r.Mount != mount || len(r.Guests) != 3 {
		t.Errorf("%+v", r)
	}
	for range 3 {
		next(t, c.started)
	}
	if e := next(t, c.refused); e.Guest != "bad" {
		t.Errorf("%v", e)
	}
}

// TestStoreLost has the server hang, answer, and fail.
func TestStoreLost(t *testing.T) {
	s := &server{}
	c := follow(t, s, "nfs://nas/xen")
	if r := next(t, c.told); r.State != host.RemoteConnected {
		t.Fatalf("%+v", r)
	}
	hang := make(chan struct{})
	s.set(hang, nil)
	lost := next(t, c.told)
	silent := strings.Contains(lost.Problem, "does not answer")
	if lost.State != host.RemoteLost || !silent || lost.Guests[0] != "uses xen" {
		t.Errorf("%+v", lost)
	}
	s.set(nil, nil)
	close(hang)
	if r := next(t, c.told); r.State != host.RemoteConnected {
		t.Errorf("%+v", r)
	}
	s.set(nil, unix.EIO)
	if r := next(t, c.told); r.State != host.RemoteLost || r.Problem != unix.EIO.Error() {
		t.Errorf("%+v", r)
	}
	s.set(nil, nil)
	if r := next(t, c.told); r.State != host.RemoteConnected {
		t.Errorf("%+v", r)
	}
	if s.mounts != 1 {
		t.Errorf("%d mounts", s.mounts)
	}
}

// TestStoreStale has the server come back with another export, which cannot be mounted at once. A guest that it had
// before is not started once more.
func TestStoreStale(t *testing.T) {
	s := &server{files: map[string]string{"guests/one/one.cfg": config}}
	c := follow(t, s, "nfs://nas/xen")
	if r := next(t, c.told); r.State != host.RemoteConnected || next(t, c.started) != "one" {
		t.Fatalf("%+v", r)
	}
	s.mu.Lock()
	s.files["guests/two/two.cfg"] = config
	s.faults = []error{unix.EACCES}
	s.mu.Unlock()
	s.set(nil, unix.ESTALE)
	if r := next(t, c.told); r.State != host.RemoteLost || !strings.Contains(r.Problem, "another export") {
		t.Errorf("%+v", r)
	}
	if r := next(t, c.told); r.State != host.RemoteWaiting {
		t.Errorf("%+v", r)
	}
	if r := next(t, c.told); r.State != host.RemoteConnected || len(r.Guests) != 2 {
		t.Errorf("%+v", r)
	}
	if name := next(t, c.started); name != "two" {
		t.Errorf("%s is started", name)
	}
	if s.gone != 1 || s.mounts != 3 {
		t.Errorf("%d mounts, %d unmounts", s.mounts, s.gone)
	}
}

// TestStoreEndsWhileTheServerHangs lets nobody wait for it.
func TestStoreEndsWhileTheServerHangs(t *testing.T) {
	s := &server{}
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	c := follow(t, s, "nfs://nas/xen")
	next(t, c.told)
	s.set(hang, nil)
	if r := next(t, c.told); r.State != host.RemoteLost {
		t.Errorf("%+v", r)
	}
}

func TestTryOther(t *testing.T) {
	for err, want := range map[error]bool{
		unix.EPROTONOSUPPORT: true, unix.ECONNREFUSED: true, unix.ETIMEDOUT: false, errors.New("no such host"): false,
	} {
		if tryOther(err) != want {
			t.Errorf("%v: %v", err, !want)
		}
	}
}
