package sshd

import (
	"bufio"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/internal/host"
)

// processDir is the variable with which the tests' program is the server's process, in that directory.
const processDir = "ZERODISC_TEST_SSHD"

func TestMain(m *testing.M) {
	dir := os.Getenv(processDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	_ = os.Unsetenv(processDir)
	os.Exit(Main(Config{
		Dir: dir, Home: dir, Shell: "/bin/sh", Keys: filepath.Join(dir, "authorized_keys"),
		Guests:   func() (*host.Snapshot, error) { return &host.Snapshot{}, nil },
		Greeting: func() string { return "" }, Tell: Teller(os.Stdout),
	}))
}

// The server goes on when init, which has the other end of its output, has crashed; what it starts can be killed when
// memory is short, and it ends when it is asked to.
func TestProcess(t *testing.T) {
	hostKey, err := NewHostKey()
	r := &rig{T: t, dir: t.TempDir(), keys: t.TempDir(), port: freePort(t)}
	r.must(err)
	r.knowHost(hostKey)
	r.must(WriteOptions(r.dir, Options{
		Port: r.port, Listen: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
		Keys: []string{r.newKey("id")}, HostKeys: []string{hostKey},
	}))
	program, err := os.Executable()
	r.must(err)
	server := exec.Command(program)
	server.Env = append(os.Environ(), processDir+"="+r.dir)
	out, err := server.StdoutPipe()
	r.must(err)
	server.Stderr = server.Stdout
	r.must(server.Start())
	defer func() { _ = server.Process.Kill() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if e, ok := parseEvent([]byte(line)); !ok || err != nil {
		t.Fatalf("it says %q, %+v, %v", line, e, err)
	}
	r.must(out.Close())
	for range 3 { // each login is told
		if out, errs, _ := r.ssh(target, "cat /proc/self/oom_score_adj; echo in"); out != "0\nin\n" {
			t.Fatalf("nobody listens to the server: %q, %q", out, errs)
		}
	}
	r.must(server.Process.Signal(os.Interrupt))
	if err := server.Wait(); err != nil && !strings.Contains(err.Error(), "file already closed") {
		t.Errorf("the server ends with %v", err)
	}
}
