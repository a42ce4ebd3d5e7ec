package confine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A program that is started has what it may keep, no more, and no network; this process has lost nothing.
func TestStart(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	before := status(t, "self")
	limits := Limits{Capabilities: []int{unix.CAP_SYS_ADMIN}}
	for range 20 { // in whatever thread
		cmd := exec.Command("cat", "/proc/self/status", "/proc/self/net/dev")
		var out bytes.Buffer
		cmd.Stdout = &out
		if err := limits.Start(cmd); errors.Is(err, unix.EPERM) {
			t.Skip(err)
		} else if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"CapEff:\t0000000000200000", "CapBnd:\t0000000000200000", "NoNewPrivs:\t1", " lo: ",
		} {
			if !strings.Contains(out.String(), want) {
				t.Fatalf("not %q:\n%s", want, out.String())
			}
		}
		if links := regexp.MustCompile(`(?m)^ *[a-z0-9]+: `).FindAllString(out.String(), -1); len(links) != 1 {
			t.Errorf("it has the interfaces %q", links)
		}
	}
	if after := status(t, "self"); after != before {
		t.Errorf("this process had %s and has %s", before, after)
	}
}

// status is what a process may do.
func status(t *testing.T, process string) string {
	t.Helper()
	text, err := os.ReadFile("/proc/" + process + "/status")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(regexp.MustCompile(`(?m)^(Cap|NoNew|Seccomp:).*`).FindAllString(string(text), -1))
}

const sealed = "ZERODISC_TEST_SEALED"

// A sealed process goes on, with new threads and garbage, and opens nothing.
func TestSeal(t *testing.T) {
	if os.Getenv(sealed) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSeal$", "-test.v")
		cmd.Env = append(os.Environ(), sealed+"=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "sealed and well") {
			t.Errorf("%v:\n%s", err, out)
		}
		return
	}
	file, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := Seal(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Open("/proc/self/exe"); !errors.Is(err, unix.EPERM) {
		t.Errorf("open: %v", err)
	}
	if _, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("socket: %v", err)
	}
	if err := exec.Command("true").Run(); err == nil {
		t.Error("a program was started")
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			runtime.LockOSThread() // and ends with the thread
			page := make([]byte, 1<<20)
			if _, err := file.ReadAt(page[:4096], 0); err != nil {
				t.Error(err)
			}
			runtime.GC()
		})
	}
	all.Wait()
	fmt.Println("sealed and well")
}
