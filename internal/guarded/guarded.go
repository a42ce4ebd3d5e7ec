// Package guarded starts goroutines whose panic is a failure of what they belong to, and not of the whole program.
// What reads bytes from elsewhere meets one day what nobody thought of.
//
// What they belong to is in their context: a service (package supervise), or the boot.
package guarded

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
)

// key is that of what gets failures in a context.
type key struct{}

// With returns a context for Go and Call. failed gets the panic of each goroutine, and its stack; it must not block.
func With(ctx context.Context, failed func(err error, stack []byte)) context.Context {
	return context.WithValue(ctx, key{}, failed)
}

// Go runs f in a goroutine. A panic in it is told to what ctx belongs to; without such a thing it ends the program.
func Go(ctx context.Context, f func()) { go Call(ctx, f) }

// Func returns f for whoever starts it in a goroutine. After a panic it returns ErrPanic.
func Func(ctx context.Context, f func() error) func() error {
	return func() error {
		err := ErrPanic
		Call(ctx, func() { err = f() })
		return err
	}
}

// ErrPanic is the error of a function whose panic was told.
var ErrPanic = errors.New("panic")

// Call is Go without a goroutine, for what somebody else calls in one.
func Call(ctx context.Context, f func()) {
	failed, ok := ctx.Value(key{}).(func(error, []byte))
	if ok {
		defer func() {
			if reason := recover(); reason != nil {
				failed(fmt.Errorf("panic: %v", reason), debug.Stack())
			}
		}()
	}
	f()
}
