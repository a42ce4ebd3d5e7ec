package netcfg

import (
	"context"
	"errors"
	"testing"
)

func TestWakeBetweenTwoStepsIsKept(t *testing.T) {
	for range 2000 {
		c := NewClient(ClientOptions{})
		_, stop := c.untilInterrupted(context.Background())
		if err := stop(); err != nil { // an attempt has ended
			t.Fatal(err)
		}
		c.Wake() // the carrier came back
		awaitInterruption(t, c, errWoken)
	}
}

// The carrier returns, or another host takes the address, while a server's answer is being read.
func TestInterruptionDuringSuccessIsKept(t *testing.T) {
	c := NewClient(ClientOptions{})
	c.guard = &guard{conflicts: make(chan *conflictError, 1)}
	conflict := &conflictError{lease: example()}
	interruptions := map[error]func(){errWoken: c.Wake, conflict: func() { c.guard.conflicts <- conflict }}
	for want, interrupt := range interruptions {
		_, err := c.within(context.Background(), 0, func(ctx context.Context) (*Lease, error) {
			interrupt()
			<-ctx.Done() // it was noticed, but the lease was there
			return example(), nil
		})
		check(t, err)
		awaitInterruption(t, c, want)
	}
}

func awaitInterruption(t *testing.T, c *Client, want error) {
	t.Helper()
	parent, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	ctx, stop := c.untilInterrupted(parent)
	<-ctx.Done()
	if got := stop(); !errors.Is(got, want) {
		t.Fatalf("interrupted by %v, want %v", got, want)
	}
}
