package sshd

import (
	"bytes"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestTerminal(t *testing.T) {
	r := newRig(t, nil)
	screen, err := openTerminal()
	if err != nil {
		t.Skip(err)
	}
	defer screen.close()
	r.must(screen.resize(size{Columns: 132, Rows: 43}))
	cmd := r.client("ssh", "-tt", target)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = screen.slave, screen.slave, screen.slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	r.must(cmd.Start())
	r.must(screen.slave.Close())
	var mu sync.Mutex
	var shown bytes.Buffer
	go func() { _, _ = io.Copy(locked{&mu, &shown}, screen.master) }()
	shows := func(what, typed string) {
		for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
			_, _ = io.WriteString(screen.master, typed) // again, where it came too early
			mu.Lock()
			text := shown.String()
			mu.Unlock()
			if strings.Contains(text, what) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("the terminal does not show %q:\n%s", what, text)
			}
		}
	}
	shows("welcome\r\n", "")
	shows("43 132\r\n", "stty size\n")
	shows("is vt220 on /dev/pts/", "echo is $TERM on $(tty)\n")
	r.must(screen.resize(size{Columns: 90, Rows: 30}))
	r.must(cmd.Process.Signal(syscall.SIGWINCH))
	shows("30 90\r\n", "stty size\n")
	_, err = io.WriteString(screen.master, "exit 7\n")
	r.must(err)
	_ = cmd.Wait()
	if status := cmd.ProcessState.ExitCode(); status != 7 {
		t.Errorf("status %d, want 7", status)
	}
}

// locked is a writer that one writes to at a time.
type locked struct {
	*sync.Mutex
	to io.Writer
}

func (l locked) Write(p []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.to.Write(p)
}

// When the client goes, what runs on its terminal is hung up.
func TestHangUp(t *testing.T) {
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP) // under nohup children would ignore it
	r := newRig(t, nil)
	mark := filepath.Join(r.home, "mark")
	cmd := r.client("ssh", "-tt", target, "trap 'echo hup > mark; exit' HUP; echo ready; while :; do sleep 0.1; done")
	out, err := cmd.StdoutPipe()
	r.must(err)
	r.must(cmd.Start())
	if _, err := io.ReadFull(out, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	r.must(cmd.Process.Kill())
	_ = cmd.Wait()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if text, _ := os.ReadFile(mark); string(text) == "hup\n" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the command goes on")
		}
	}
}
