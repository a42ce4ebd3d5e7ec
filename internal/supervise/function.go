package supervise

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"
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
	go func() {
		defer cancel()
		err := guarded(ctx, spec)
		if err == nil {
			err = errEnded
		}
		f.exited <- err
	}()
	return f
}

// guarded runs the service and makes an error of its panic, whose stack goes to the service's output.
func guarded(ctx context.Context, spec Spec) error {
	err := Contain(func() error { return spec.Run(ctx) })
	if p, panicked := errors.AsType[*PanicError](err); panicked && spec.Output != nil {
		out := &lines{prefix: spec.Name + ": ", to: spec.Output}
		_, _ = io.Copy(out, strings.NewReader(p.Error()+"\n"+string(p.Stack)))
		out.flush()
	}
	return err
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
