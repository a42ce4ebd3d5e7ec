package iouring

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A ring takes drivers' commands and nothing else: not even one that does nothing.
func TestRestricted(t *testing.T) {
	for _, wide := range []bool{false, true} {
		r, err := New(4, wide)
		if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) {
			t.Skip(err) // an old kernel, or one that does not let us
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, nop := range []bool{false, true} {
			r.Command(int(os.Stdin.Fd()), 0, 7)
			if nop {
				r.sqes[((*r.sqTail-1)&r.sqMask)*r.entrySize] = 0 // IORING_OP_NOP
			}
			if err := r.Submit(1); err != nil {
				t.Fatal(err)
			}
			_, result, ok := r.Next()
			if !ok || (unix.Errno(-result) == unix.EACCES) != nop {
				t.Errorf("nop %v: %v, %v", nop, ok, unix.Errno(-result))
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
