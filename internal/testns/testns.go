//go:build linux

// Package testns runs tests in namespaces of their own, namespaces(7): a network, mounts or a host name that
// nobody else sees.
package testns

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// variable holds the name of the test that a child process is to run in its namespaces.
const variable = "ZERODISC_TEST_NAMESPACE"

// Run runs body in a process with new namespaces; flags are clone(2)'s CLONE_NEW*. A user namespace makes that
// possible without root; where the kernel forbids those, root does. Where neither goes the test is skipped.
func Run(t *testing.T, flags uintptr, body func(t *testing.T)) {
	t.Helper()
	user := &syscall.SysProcAttr{
		Cloneflags: flags | syscall.CLONE_NEWUSER, Pdeathsig: syscall.SIGKILL,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	run(t, flags, body, user, plain(flags))
}

// RunAsRoot is Run without a user namespace: it takes root, and lets the test use loop devices.
func RunAsRoot(t *testing.T, flags uintptr, body func(t *testing.T)) {
	t.Helper()
	run(t, flags, body, plain(flags))
}

func plain(flags uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
}

// run runs body in a process with the first of the attributes that the kernel grants.
func run(t *testing.T, flags uintptr, body func(t *testing.T), attrs ...*syscall.SysProcAttr) {
	t.Helper()
	if os.Getenv(variable) == t.Name() {
		if flags&syscall.CLONE_NEWNS != 0 {
			keepMounts(t)
		}
		body(t)
		return
	}
	runtime.LockOSThread() // Pdeathsig is about the thread that starts the child
	defer runtime.UnlockOSThread()
	out, err := again(t, attrs[0])
	for _, attr := range attrs[1:] {
		if refused(err) {
			out, err = again(t, attr)
		}
	}
	switch {
	case refused(err):
		t.Skipf("needs root, or a kernel that lets users make namespaces: %v", err)
	case strings.Contains(out, "--- SKIP: "+t.Name()):
		t.Skipf("in its namespace:\n%s", out)
	case err != nil, !strings.Contains(out, "--- PASS: "+t.Name()):
		t.Fatalf("in its namespace: %v\n%s", err, out)
	}
}

// again runs the test in a process of its own and returns what it printed.
func again(t *testing.T, attr *syscall.SysProcAttr) (string, error) {
	args := []string{"-test.run=^" + t.Name() + "$", "-test.v"}
	if deadline, ok := t.Deadline(); ok {
		args = append(args, "-test.timeout="+time.Until(deadline).String())
	}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), variable+"="+t.Name())
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// refused tells a kernel that refuses namespaces from a test that failed in one.
func refused(err error) bool { return err != nil && !errors.As(err, new(*exec.ExitError)) }

// OwnMounts gives the test's goroutine mounts of its own, or skips the test. Other goroutines do not see them.
// Unlike Run it takes root, and lets the test use loop devices.
func OwnMounts(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // for good: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		t.Skipf("mounting needs root: %v", err)
	}
	keepMounts(t)
}

// keepMounts keeps the mounts that are made from now on from showing elsewhere.
func keepMounts(t *testing.T) {
	t.Helper()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
}
