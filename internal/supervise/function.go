package supervise

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/internal/guarded"
)

// function is one call of a service that is a function.
type function struct {
	cancel context.CancelFunc
	exited chan error
}

// errEnded is the failure of a function that returned nil before it was asked to end.
var errEnded = errors.New("it ended by itself")

// call calls the service.
func call(spec Spec) *function {
	ctx, cancel := context.WithCancel(context.Background())
	f := &function{cancel: cancel, exited: make(chan error, 1)}
	panics := make(chan error, 1)
	ctx = guarded.With(ctx, func(err error, stack []byte) {
		spec.print(err, stack)
		select {
		case panics <- err:
		default: // one is enough
		}
		cancel()
	})
	ended := make(chan error, 1)
	go func() {
		defer close(ended)
		guarded.Call(ctx, func() { ended <- spec.Run(ctx) })
	}()
	go func() {
		defer cancel()
		f.exited <- outcome(ended, panics, spec.StopTimeout)
	}()
	return f
}

// outcome is why a function has ended, never nil: because of its first panic, if there was one. A function that does
// not end though one of its goroutines has is left behind after a while.
func outcome(ended, panics <-chan error, patience time.Duration) error {
	select {
	case err := <-panics:
		select {
		case <-ended:
		case <-time.After(patience):
		}
		return err
	case err := <-ended:
		select {
		case panicked := <-panics:
			return panicked
		default:
		}
		if err == nil {
			err = errEnded
		}
		return err
	}
}

// print puts a panic into the service's output.
func (s Spec) print(err error, stack []byte) {
	if s.Output != nil {
		out := &lines{prefix: s.Name + ": ", to: s.Output}
		_, _ = io.Copy(out, strings.NewReader(err.Error()+"\n"+string(stack)))
		out.flush()
	}
}

func (f *function) pid() int { return 0 }

func (f *function) exit() <-chan error { return f.exited }

// terminate ends the function. One that does not return in time cannot be killed: it is left behind.
func (f *function) terminate(timeout time.Duration) {
	f.cancel()
	select {
	case <-f.exited:
	case <-time.After(timeout):
	}
}
