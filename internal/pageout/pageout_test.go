package pageout

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWritten(t *testing.T) {
	const maps = `00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/dbus-daemon
00651000-00652000 r--p 00051000 08:02 173521      /usr/bin/dbus-daemon
00652000-00655000 rw-p 00052000 08:02 173521      /usr/bin/dbus-daemon
35b1800000-35b1820000 rw-s 00000000 08:02 135522  /dev/shm/shared
c000000000-c000400000 rw-p 00000000 00:00 0 
c000400000-c004000000 ---p 00000000 00:00 0 
7fffb2c0d000-7fffb2c2e000 rw-p 00000000 00:00 0   [stack]
7fffb2d48000-7fffb2d49000 r-xp 00000000 00:00 0   [vdso]
`
	want := []span{{0x652000, 0x655000}, {0xc000000000, 0xc000400000}, {0x7fffb2c0d000, 0x7fffb2c2e000}}
	if got, err := written(strings.NewReader(maps)); err != nil || !slices.Equal(got, want) {
		t.Errorf("%x, %v, want %x", got, err, want)
	}
	if _, err := written(strings.NewReader("zz-10 rw-p 0 00:00 0\n")); err == nil {
		t.Error("a range that is none was taken")
	}
}

// TestOne moves the memory of a process, which goes on.
func TestOne(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	err = one(cmd.Process.Pid)
	if errors.Is(err, os.ErrPermission) || errors.Is(err, unix.ENOSYS) {
		t.Skip(err)
	}
	if err != nil {
		t.Error(err)
	}
	answer := make([]byte, 5)
	if _, err := in.Write([]byte("hello")); err != nil {
		t.Error(err)
	}
	if _, err := out.Read(answer); err != nil || string(answer) != "hello" {
		t.Errorf("%q, %v", answer, err)
	}
	if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
		t.Error(err)
	}
	if err := one(cmd.Process.Pid); err == nil {
		t.Error("the memory of a process that has ended was moved")
	}
}
