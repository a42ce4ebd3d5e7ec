package xenstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"
)

// abortTimeout bounds the abort of a transaction whose own context may have ended already.
const abortTimeout = 2 * time.Second

// Tx is a transaction: its operations see the store as it was at the start plus their own
// changes. It is valid inside the function given to Transact only.
type Tx struct {
	handle
}

// Transact runs change inside a transaction and commits it. When another client's change came
// between (EAGAIN), it runs change again, until ctx ends: change must not have effects outside the
// store. An error of change aborts the transaction and is returned as it is.
func (c *Client) Transact(ctx context.Context, change func(*Tx) error) error {
	for {
		err := c.attempt(ctx, change)
		if !errors.Is(err, syscall.EAGAIN) {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("xenstore transaction kept conflicting: %w", ctx.Err())
		}
	}
}

func (c *Client) attempt(ctx context.Context, change func(*Tx) error) error {
	tx, err := c.begin(ctx)
	if err != nil {
		return err
	}
	if err := change(tx); err != nil {
		c.abort(ctx, tx)
		return err
	}
	return tx.end(ctx, "T")
}

func (c *Client) begin(ctx context.Context) (*Tx, error) {
	reply, err := c.request(ctx, typeTransactionStart, 0, []byte{0})
	if err != nil {
		return nil, &Error{Op: "transaction start", Err: err}
	}
	parts := splitStrings(reply)
	if len(parts) != 1 {
		return nil, &Error{Op: "transaction start", Err: fmt.Errorf("reply %.40q is no transaction id", reply)}
	}
	id, err := strconv.ParseUint(parts[0], 10, 32)
	if err != nil || id == 0 {
		return nil, &Error{Op: "transaction start", Err: fmt.Errorf("reply %.40q is no transaction id", reply)}
	}
	return &Tx{handle{client: c, tx: uint32(id)}}, nil
}

// abort tells xenstored to drop the transaction, which it would otherwise keep as long as the
// connection lives. There is nobody to whom a failure would matter more than the error that led here.
func (c *Client) abort(ctx context.Context, tx *Tx) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	_ = tx.end(ctx, "F")
}

func (t *Tx) end(ctx context.Context, verdict string) error {
	_, err := t.client.request(ctx, typeTransactionEnd, t.tx, joinStrings(verdict))
	if err != nil {
		return &Error{Op: "transaction end", Err: err}
	}
	return nil
}
