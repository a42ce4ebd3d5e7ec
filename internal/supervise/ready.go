package supervise

import (
	"context"
	"errors"
	"time"
)

// probeInterval is the pause between two calls of a probe: short, since guests wait for it.
const probeInterval = 20 * time.Millisecond

// probe calls the readiness probe until it succeeds (nil is sent) or ctx ends (its last error is
// sent). It gives up silently once nobody listens.
func (d *Daemon) probe(ctx context.Context) <-chan error {
	result := make(chan error, 1)
	go func() { result <- poll(ctx, d.spec.Ready) }()
	return result
}

func poll(ctx context.Context, ready func(context.Context) error) error {
	var last error
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		if last == nil || !errors.Is(err, ctx.Err()) {
			last = err // "connection refused" says more than the deadline that follows it
		}
		select {
		case <-time.After(probeInterval):
		case <-ctx.Done():
			return last
		}
	}
}
