package supervise

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A process whose supervisor has crashed is taken over by the next one, with the lines that it has printed meanwhile;
// once it has ended it is started anew.
func TestLastingIsTakenOver(t *testing.T) {
	var l log
	dir := t.TempDir()
	go1, go2 := filepath.Join(dir, "go1"), filepath.Join(dir, "go2")
	script := "echo before; until test -e " + go1 + "; do sleep 0.02; done; echo meanwhile; " +
		"until test -e " + go2 + "; do sleep 0.02; done; echo after; exec sleep 60"
	spec := shell(&l, script)
	spec.Lasting = filepath.Join(dir, "fifo")
	left, err := execute(spec)
	if err != nil {
		t.Fatal(err)
	}
	defer left.terminate(spec.StopTimeout)
	eventually(t, "its first line", func() bool { return strings.Contains(l.output(), "demo: before\n") })
	_ = left.output.fifo.Close() // as a crash of the supervisor does
	touch(t, go1)

	d := begin(spec)
	if err := d.await(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status := d.Status(); status.PID != left.pid() || status.Phase != Running {
		t.Errorf("status %+v, want process %d", status, left.pid())
	}
	touch(t, go2)
	eventually(t, "all its lines", func() bool {
		return strings.Contains(l.output(), "demo: meanwhile\ndemo: after\n")
	})
	if err := syscall.Kill(left.pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another process", func() bool {
		status := d.Status()
		return status.Phase == Running && status.PID != left.pid() && status.PID != 0
	})
	if status := d.Status(); status.Restarts != 1 {
		t.Errorf("status %+v", status)
	}
	d.Stop()
	if id := findProcess(spec.Path, spec.Args); id != 0 {
		t.Errorf("process %d is left", id)
	}
}

func touch(t *testing.T, name string) {
	t.Helper()
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}
