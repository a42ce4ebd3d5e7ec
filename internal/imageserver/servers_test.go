package imageserver

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/supervise"
)

// TestMain is the process, where this program is started as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == Role {
		os.Exit(pretend(os.Args[2], os.Args[3], os.Args[4]))
	}
	os.Exit(m.Run())
}

// pretend goes on with the device in the file, or makes number 7, and does nothing else.
func pretend(target, format, file string) int {
	if _, err := os.Stat(target); err != nil {
		fmt.Println(err)
		return 1
	}
	number, _, err := readDevice(file)
	if err != nil {
		number = 7
	}
	fmt.Println("serving", format)
	if err := writeDevice(file, number); err != nil {
		return 1
	}
	time.Sleep(10 * time.Minute)
	return 0
}

// world has Servers whose processes only pretend.
type world struct {
	*Servers
	t       *testing.T
	deleted []int

	mu   sync.Mutex
	text bytes.Buffer
	gone []string
}

func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *world) output() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

func newWorld(t *testing.T) *world {
	dir := t.TempDir()
	name, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x.qcow2"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t}
	w.Servers = New(Config{
		Program: name, Dir: dir, Services: supervise.NewTable(), Output: w, Log: slog.New(slog.DiscardHandler),
		Report: func(supervise.Status) {}, Gone: func(name string) { w.gone = append(w.gone, name) },
	})
	w.limits, w.delete = nil, func(number int) error { w.deleted = append(w.deleted, number); return nil }
	return w
}

func (w *world) serve() {
	w.t.Helper()
	device, err := w.Serve(w.t.Context(), "key", "image-web-xvda", filepath.Join(w.Dir, "x.qcow2"), "qcow2")
	if err != nil || device != "/dev/ublkb7" {
		w.t.Fatal(device, err)
	}
	services := w.Services
	w.t.Cleanup(func() { services.Remove("image-web-xvda") })
}

// is waits until the services are so many, and the first one is in this state.
func (w *world) is(want func(supervise.Status) bool) supervise.Status {
	w.t.Helper()
	for range 1000 {
		if list := w.Services.List(); len(list) == 1 && want(list[0]) {
			return list[0]
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.t.Fatalf("services %+v", w.Services.List())
	return supervise.Status{}
}

func running(status supervise.Status) bool { return status.Phase == supervise.Running }

// A server that dies is started again and goes on with its device. One that is restarted does, too, and nobody stops
// it before its disk is not wanted any more.
func TestServers(t *testing.T) {
	w := newWorld(t)
	w.serve()
	first := w.is(running)
	if err := unix.Kill(first.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	again := w.is(func(s supervise.Status) bool { return running(s) && s.PID != first.PID && s.Restarts == 1 })
	if number, pid, err := readDevice(w.file("key", deviceFile)); number != 7 || pid != again.PID || err != nil {
		t.Error(number, pid, err)
	}
	w.Reopen("/elsewhere")
	w.Reopen(w.Dir)
	w.is(func(s supervise.Status) bool { return running(s) && s.PID != again.PID })
	err := w.Services.Order(t.Context(), "stop", "image-web-xvda")
	if err == nil || !strings.Contains(err.Error(), "a guest reads its disk through it") {
		t.Error(err)
	}
	if err := w.Stop("key"); err != nil {
		t.Error(err)
	}
	if fmt.Sprint(w.deleted, w.gone, w.Services.List()) != "[7] [image-web-xvda] []" {
		t.Error(w.deleted, w.gone, w.Services.List())
	}
	if left, _ := filepath.Glob(filepath.Join(w.Dir, "key*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := w.Stop("key"); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if said := w.output(); !strings.Contains(said, "image-servers: image-web-xvda: serving qcow2\n") {
		t.Errorf("%q", said)
	}
}

// A guest whose image cannot be served hears why at once.
func TestServerThatFails(t *testing.T) {
	w := newWorld(t)
	_, err := w.Serve(t.Context(), "key", "image-web-xvda", "/none", "qcow2")
	if err == nil || !strings.Contains(err.Error(), "exit status 1\nstat /none: no such file") {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(w.Dir, "key*")); len(left) > 0 || len(w.Services.List()) > 0 {
		t.Errorf("left behind: %v, %v", left, w.Services.List())
	}
}

// Another process of init goes on with the servers that run, and with those that have died meanwhile.
func TestResume(t *testing.T) {
	for _, dies := range []bool{false, true} {
		w := newWorld(t)
		w.serve()
		left := w.is(running)
		if dies {
			w.Services.Remove("image-web-xvda")
		}
		w.Services = supervise.NewTable()
		w.Resume()
		next := w.is(running)
		if (next.PID == left.PID) == dies {
			t.Errorf("process %d, then %d", left.PID, next.PID)
		}
		if err := w.Stop("key"); err != nil || len(w.deleted) != 1 {
			t.Error(err, w.deleted)
		}
	}
}

// A guest that was renamed keeps the name of its service from another one.
func TestTakenName(t *testing.T) {
	w := newWorld(t)
	w.serve()
	image := filepath.Join(w.Dir, "x.qcow2")
	if _, err := w.Serve(context.Background(), "other", "image-web-xvda", image, "qcow2"); err != nil {
		t.Fatal(err)
	}
	defer w.Services.Remove("other")
	if list := w.Services.List(); len(list) != 2 || list[1].Name != "other" {
		t.Errorf("%+v", list)
	}
}
