package guarded

import (
	"context"
	"strings"
	"testing"
)

func TestPanicIsTold(t *testing.T) {
	type failure struct {
		err   error
		stack string
	}
	failures := make(chan failure, 1)
	ctx := With(t.Context(), func(err error, stack []byte) { failures <- failure{err, string(stack)} })
	below, cancel := context.WithCancel(ctx)
	defer cancel()
	Go(below, func() { panic("no such option") })
	if f := <-failures; f.err.Error() != "panic: no such option" || !strings.Contains(f.stack, "TestPanicIsTold") {
		t.Errorf("%v\n%s", f.err, f.stack)
	}
	err := Func(below, func() error { panic("again") })()
	if f := <-failures; err != ErrPanic || f.err.Error() != "panic: again" {
		t.Errorf("%v, %v", err, f.err)
	}
	done := make(chan struct{})
	Go(below, func() { close(done) })
	<-done
	if len(failures) != 0 {
		t.Error("a goroutine without a panic has failed")
	}
}

func TestPanicWithoutOwner(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("the panic is lost")
		}
	}()
	Call(t.Context(), func() { panic("nobody's") })
}
