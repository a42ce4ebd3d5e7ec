package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"github.com/zerodisc/zerodisc/internal/guarded"
	"github.com/zerodisc/zerodisc/internal/printable"
)

// Limits of operations.
const (
	maxRunning = 200 // at a time
	maxEnded   = 100 // known after their end
)

// operations are what is under way and what has ended lately. One goroutine owns them.
type operations struct {
	ctx      context.Context // of all of them
	requests chan func(*records)
	changes  *feed[Operation]
	status   func(error) int // of an order's error, as HTTP's
}

// records are the operations, in the order of their beginnings.
type records []*record

// record is one operation. The owner's goroutine alone reads and writes op and used.
type record struct {
	op      Operation
	used    map[string]bool // names of websockets that have been opened
	cancel  context.CancelFunc
	ended   chan struct{}
	sockets map[string]chan *websocket.Conn // of a console, by name
}

// task is what an operation does. It may say how far it is.
type task func(ctx context.Context, tell func(func(*OperationMetadata))) error

func newOperations(ctx context.Context, status func(error) int) *operations {
	o := &operations{
		ctx: ctx, requests: make(chan func(*records)), changes: newFeed[Operation](ctx), status: status,
	}
	guarded.Go(ctx, o.own)
	return o
}

func (o *operations) own() {
	var all records
	for {
		select {
		case request := <-o.requests:
			request(&all)
		case <-o.ctx.Done():
			return
		}
	}
}

// do has the owner's goroutine run a function, and returns when it has. After the end of the server it does nothing.
func (o *operations) do(f func(*records)) {
	done := make(chan struct{})
	select {
	case o.requests <- func(all *records) { defer close(done); f(all) }:
		<-done
	case <-o.ctx.Done():
	}
}

var errBusy = &fault{http.StatusServiceUnavailable, fmt.Sprintf(
	"%d operations are under way already; wait for some of them or cancel them", maxRunning)}

// start begins an operation. names are the guests that it is about.
func (o *operations) start(description string, names []string, run task) (Operation, error) {
	return o.begin(&record{op: Operation{
		Class: "task", Description: description, Resources: resources(names), MayCancel: true,
	}}, run)
}

// startConsole begins an operation that has websockets, which come in by the channels of run.
func (o *operations) startConsole(description, name string, run func(map[string]chan *websocket.Conn) task,
) (Operation, error) {
	r := &record{
		op: Operation{
			Class: "websocket", Description: description, Resources: resources([]string{name}), MayCancel: true,
			Metadata: OperationMetadata{FDs: map[string]string{
				ConsoleData: rand.Text(), ConsoleControl: rand.Text(),
			}},
		},
		used: map[string]bool{},
		sockets: map[string]chan *websocket.Conn{
			ConsoleData: make(chan *websocket.Conn, 1), ConsoleControl: make(chan *websocket.Conn, 1),
		},
	}
	return o.begin(r, run(r.sockets))
}

func resources(names []string) map[string][]string {
	var paths []string
	for _, name := range names {
		paths = append(paths, guestPath(name))
	}
	return map[string][]string{"guests": paths}
}

func (o *operations) begin(r *record, run task) (Operation, error) {
	ctx, cancel := context.WithCancel(o.ctx)
	now := time.Now()
	r.cancel, r.ended = cancel, make(chan struct{})
	r.op.ID, r.op.Created, r.op.Updated = uuid.NewString(), now, now
	r.op.Status, r.op.StatusCode = "Running", OperationRunning
	var op Operation
	err := error(errBusy)
	o.do(func(all *records) {
		if all.running() >= maxRunning {
			return
		}
		all.forgetOldest()
		*all = append(*all, r)
		op, err = r.op.clone(), nil
		o.changes.publish(op)
	})
	if err != nil {
		cancel()
		return op, err
	}
	guarded.Go(ctx, func() {
		defer cancel()
		tell := func(change func(*OperationMetadata)) { o.tell(r, change) }
		o.end(ctx, r, run(ctx, tell))
	})
	return op, nil
}

// tell changes what there is to say of an operation.
func (o *operations) tell(r *record, change func(*OperationMetadata)) {
	o.do(func(*records) {
		change(&r.op.Metadata)
		r.op.Updated = time.Now()
		o.changes.publish(r.op.clone())
	})
}

// end notes how an operation has ended.
func (o *operations) end(ctx context.Context, r *record, err error) {
	o.do(func(*records) {
		op := &r.op
		op.Updated, op.MayCancel, op.Metadata.Progress = time.Now(), false, nil
		switch {
		case err == nil:
			op.Status, op.StatusCode = "Success", OperationSuccess
		case ctx.Err() != nil:
			op.Status, op.StatusCode = "Cancelled", OperationCancelled
			op.Error, op.ErrorCode = "cancelled", http.StatusConflict
			if !errors.Is(err, context.Canceled) {
				op.Error = printable.Line(err.Error())
			}
		default:
			op.Status, op.StatusCode = "Failure", OperationFailure
			op.Error, op.ErrorCode = printable.Line(err.Error()), o.status(err)
		}
		o.changes.publish(op.clone())
	})
	close(r.ended)
}

// list returns all operations, the newest last.
func (o *operations) list() []Operation {
	list := []Operation{}
	o.do(func(all *records) {
		for _, r := range *all {
			list = append(list, r.op.clone())
		}
	})
	return list
}

// get returns an operation as it stands, and a channel that is closed when it has ended.
func (o *operations) get(id string) (op Operation, ended <-chan struct{}, err error) {
	err = notFound("operation", id)
	o.do(func(all *records) {
		if r := all.find(id); r != nil {
			op, ended, err = r.op.clone(), r.ended, nil
		}
	})
	return op, ended, err
}

// cancel calls an operation off, which may take a while.
func (o *operations) cancel(id string) error {
	err := error(notFound("operation", id))
	o.do(func(all *records) {
		r := all.find(id)
		switch {
		case r == nil:
		case !r.op.MayCancel:
			err = &fault{http.StatusConflict, "the operation has ended"}
		default:
			err = nil
			r.op.Status, r.op.StatusCode, r.op.Updated = "Cancelling", OperationCancelling, time.Now()
			r.cancel()
			o.changes.publish(r.op.clone())
		}
	})
	return err
}

// claim returns where to send the websocket to that has this secret. Each can be opened once.
func (o *operations) claim(id, secret string) (to chan<- *websocket.Conn, ended <-chan struct{}, err error) {
	err = notFound("operation", id)
	o.do(func(all *records) {
		r := all.find(id)
		if r == nil {
			return
		}
		err = &fault{http.StatusForbidden, "the secret is none of this operation's, or was used before"}
		for name, known := range r.op.Metadata.FDs {
			if secret == known && !r.used[name] {
				r.used[name] = true
				to, ended, err = r.sockets[name], r.ended, nil
			}
		}
	})
	return to, ended, err
}

func (all records) find(id string) *record {
	i := slices.IndexFunc(all, func(r *record) bool { return r.op.ID == id })
	if i < 0 {
		return nil
	}
	return all[i]
}

func (all records) running() (n int) {
	for _, r := range all {
		if !r.op.Ended() {
			n++
		}
	}
	return n
}

// forgetOldest makes room among the operations that have ended.
func (all *records) forgetOldest() {
	ended := len(*all) - all.running()
	*all = slices.DeleteFunc(*all, func(r *record) bool {
		if ended < maxEnded || !r.op.Ended() {
			return false
		}
		ended--
		return true
	})
}

// clone returns an operation that does not change with the one it was made of.
func (o Operation) clone() Operation {
	o.Metadata.Notes = slices.Clone(o.Metadata.Notes)
	return o
}
