package netcfg

import (
	"context"

	"github.com/zerodisc/zerodisc/internal/supervise"
)

// failureKey is that of the function that ends [Manager.Run], in the contexts of all that it starts.
type failureKey struct{}

// withFailure derives a context that ends when something which is spawned with it panics; its cause says so then.
func withFailure(parent context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	return context.WithValue(ctx, failureKey{}, cancel), cancel
}

// spawn runs do in a goroutine. All of them handle packets from the network: one that nobody thought of ends Run, whose
// supervisor says so and starts it again, and not the host's control over its guests.
func spawn(ctx context.Context, do func()) {
	go func() {
		err := supervise.Contain(func() error { do(); return nil })
		if err == nil {
			return
		}
		fail, ok := ctx.Value(failureKey{}).(context.CancelCauseFunc)
		if !ok {
			panic(err)
		}
		fail(err)
	}()
}
