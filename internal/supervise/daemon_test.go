package supervise

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// log collects statuses and output.
type log struct {
	mu       sync.Mutex
	statuses []Status
	text     bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) report(s Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.statuses = append(l.statuses, s)
}

func (l *log) status(i int) Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.statuses[i]
}

func (l *log) output() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *log) phases() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, s := range l.statuses {
		out = append(out, string(s.Phase))
	}
	return strings.Join(out, " ")
}

// shell is a daemon written in sh, with times that suit a test.
func shell(l *log, script string) Spec {
	return Spec{
		Name: "demo", Path: "/bin/sh", Args: []string{"-c", script},
		Output: l, Report: l.report,
		MinBackoff: time.Millisecond, MaxBackoff: 4 * time.Millisecond,
		StopTimeout: 5 * time.Second, ReadyTimeout: 5 * time.Second,
	}
}

func TestStartStop(t *testing.T) {
	var l log
	d, err := start(t.Context(), shell(&l, "echo hello; echo world >&2; printf end; exec sleep 60"))
	if err != nil {
		t.Fatal(err)
	}
	status := d.Status()
	if status.Phase != Running || syscall.Kill(status.PID, 0) != nil {
		t.Errorf("status %+v", status)
	}
	eventually(t, "two lines of output", func() bool { return strings.Count(l.output(), "\n") == 2 })
	d.Stop()
	d.Stop()
	if err := syscall.Kill(status.PID, 0); err != syscall.ESRCH {
		t.Errorf("process still there: %v", err)
	}
	if got, want := l.output(), "demo: hello\ndemo: world\ndemo: end\n"; got != want {
		t.Errorf("output %q, want %q", got, want)
	}
	if got, want := l.phases(), "starting running stopped"; got != want {
		t.Errorf("phases %q, want %q", got, want)
	}
}

func TestKillAfterDeadline(t *testing.T) {
	var l log
	spec := shell(&l, "trap '' TERM; echo ready; while :; do sleep 0.05; done")
	spec.StopTimeout = 100 * time.Millisecond
	d, err := start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the trap", func() bool { return l.output() != "" })
	d.Stop()
	if phase := d.Status().Phase; phase != Stopped {
		t.Error(phase)
	}
}

func TestRestartAfterDeath(t *testing.T) {
	var l log
	d, err := start(t.Context(), shell(&l, "exec sleep 60"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Stop()
	first := d.Status().PID
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the restart", func() bool { return d.Status().Restarts == 1 && d.Status().Phase == Running })
	if pid := d.Status().PID; pid == first {
		t.Error("the process is the same")
	}
	if died := l.status(2).Err; died == nil || !strings.Contains(died.Error(), "demo died: signal: killed") {
		t.Errorf("reported %v", died)
	}
}

func TestGivesUp(t *testing.T) {
	var l log
	spec := shell(&l, "exit 3")
	spec.Ready = func(context.Context) error { return errors.New("no answer") }
	spec.MaxRestarts = 2
	spec.Remedy = "see /var/log"
	_, err := start(t.Context(), spec)
	if err == nil ||
		!strings.Contains(err.Error(), "demo died more than 2 times in 1m0s: exit status 3; see /var/log") {
		t.Error(err)
	}
	if got, want := l.phases(), "starting waiting starting waiting starting failed"; got != want {
		t.Errorf("phases %q, want %q", got, want)
	}
}

func TestEssentialIsNotRestarted(t *testing.T) {
	var l log
	spec := shell(&l, "exec sleep 60")
	spec.Essential, spec.Remedy = true, "reboot the host"
	d, err := start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(d.Status().PID, syscall.SIGKILL)
	<-d.done
	status := d.Status()
	if status.Phase != Failed ||
		!strings.HasSuffix(status.Err.Error(), "cannot be started again: signal: killed; reboot the host") {
		t.Errorf("status %+v", status)
	}
	d.Stop() // returns at once
}

func TestReadiness(t *testing.T) {
	var l log
	mark := filepath.Join(t.TempDir(), "ready")
	spec := shell(&l, "sleep 0.1; : >"+mark+"; exec sleep 60")
	spec.Ready = func(context.Context) error { _, err := os.Stat(mark); return err }
	d, err := start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Stop()
	if _, err := os.Stat(mark); err != nil {
		t.Error("start returned before the daemon was ready")
	}
}

func TestNeverReady(t *testing.T) {
	var l log
	spec := shell(&l, "exec sleep 60")
	spec.Essential = true
	spec.ReadyTimeout = 100 * time.Millisecond
	spec.Ready = func(ctx context.Context) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return errors.New("connection refused")
	}
	_, err := start(t.Context(), spec)
	if err == nil || !strings.Contains(err.Error(), "not ready within 100ms: connection refused") {
		t.Error(err)
	}
	if err := syscall.Kill(l.status(0).PID, 0); err != syscall.ESRCH {
		t.Errorf("process left behind: %v", err)
	}
}

func TestStartEndsWithContext(t *testing.T) {
	var l log
	spec := shell(&l, "exec sleep 60")
	spec.Ready = func(context.Context) error { return errors.New("not yet") }
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := start(ctx, spec); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if err := syscall.Kill(l.status(0).PID, 0); err != syscall.ESRCH {
		t.Errorf("process left behind: %v", err)
	}
}

func TestMissingProgram(t *testing.T) {
	_, err := start(t.Context(), Spec{Name: "demo", Path: "/nonexistent/demo", Essential: true})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestHistory(t *testing.T) {
	h := history{limit: 4, window: time.Minute, min: time.Second, max: 3 * time.Second}
	at := time.Unix(1_000_000, 0)
	for i, step := range []struct {
		after, ran, want time.Duration
	}{
		{0, 0, time.Second},
		{time.Second, 0, 2 * time.Second},
		{time.Second, 0, 3 * time.Second},
		{time.Second, 0, 3 * time.Second},
		{time.Second, 0, 0},                         // the fifth within the window
		{2 * time.Minute, time.Minute, time.Second}, // all forgotten after a long run
	} {
		at = at.Add(step.after)
		if got := h.next(at, step.ran); got != step.want {
			t.Errorf("step %d: pause %v, want %v", i, got, step.want)
		}
	}
}

func TestLongLineIsCut(t *testing.T) {
	var out bytes.Buffer
	l := lines{prefix: "x: ", to: &out}
	_, _ = l.Write([]byte(strings.Repeat("a", maxLine+10) + "\nb\n\n"))
	want := "x: " + strings.Repeat("a", maxLine) + "\nx: aaaaaaaaaa\nx: b\n"
	if out.String() != want {
		t.Errorf("got %d bytes, want %d", out.Len(), len(want))
	}
}

// A guest decides what qemu or xenconsoled complain about.
func TestOutputIsMadePrintable(t *testing.T) {
	var out bytes.Buffer
	l := lines{prefix: "x: ", to: &out}
	_, _ = l.Write([]byte("guest \x1b[2J\x1b]0;t\a\xff\r\n"))
	if got, want := out.String(), `x: guest \x1b[2J\x1b]0;t\a\xff`+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no sign of %s within 5 s", what)
}

// start starts a daemon and waits until it is ready.
func start(ctx context.Context, spec Spec) (*Daemon, error) {
	d := begin(spec)
	if err := d.await(ctx); err != nil {
		return nil, err
	}
	return d, nil
}
