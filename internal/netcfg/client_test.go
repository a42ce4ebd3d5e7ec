package netcfg

import (
	"context"
	"errors"
	"testing"
)

func TestWakeBetweenTwoStepsIsKept(t *testing.T) {
	for range 2000 {
		c := NewClient(ClientOptions{})
		_, stop := c.untilWoken(context.Background())
		stop()   // an attempt has ended
		c.Wake() // the carrier came back
		ctx, stop := c.untilWoken(context.Background())
		awaitWoken(t, ctx)
		stop()
	}
}

// The carrier returns while a server's answer is being read.
func TestWakeDuringSuccessIsKept(t *testing.T) {
	c := NewClient(ClientOptions{})
	_, err := c.within(context.Background(), 0, func(ctx context.Context) (*Lease, error) {
		c.Wake()
		<-ctx.Done() // the wake was noticed, but the lease was there
		return example(), nil
	})
	check(t, err)
	ctx, stop := c.untilWoken(context.Background())
	defer stop()
	awaitWoken(t, ctx)
}

func awaitWoken(t *testing.T, ctx context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, errWoken) {
		t.Fatalf("the wake was lost: %v", cause)
	}
}
