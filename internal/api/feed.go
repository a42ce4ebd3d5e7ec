package api

import (
	"context"
	"slices"

	"github.com/zerodisc/zerodisc/internal/guarded"
)

// feedLength is how many items wait for a reader at most.
const feedLength = 256

// feed hands what is published to any number of readers. One that is slow loses the oldest items and is told how many;
// nobody waits for it. One goroutine owns the readers.
type feed[T any] struct {
	done    <-chan struct{}
	items   chan T
	readers chan *reader[T]
}

// item is what a reader gets, with how many it lost before it.
type item[T any] struct {
	value T
	lost  int
}

type reader[T any] struct {
	done  <-chan struct{}
	items chan item[T]
	lost  int
}

// newFeed returns a feed that works until ctx ends.
func newFeed[T any](ctx context.Context) *feed[T] {
	f := &feed[T]{done: ctx.Done(), items: make(chan T, feedLength), readers: make(chan *reader[T])}
	guarded.Go(ctx, f.run)
	return f
}

// publish hands an item to all readers.
func (f *feed[T]) publish(value T) {
	select {
	case f.items <- value:
	case <-f.done:
	}
}

// read returns what is published from now on, until ctx ends.
func (f *feed[T]) read(ctx context.Context) <-chan item[T] {
	r := &reader[T]{done: ctx.Done(), items: make(chan item[T], feedLength)}
	select {
	case f.readers <- r:
	case <-f.done:
	}
	return r.items
}

func (f *feed[T]) run() {
	var readers []*reader[T]
	for {
		select {
		case r := <-f.readers:
			readers = append(slices.DeleteFunc(readers, (*reader[T]).gone), r)
		case value := <-f.items:
			kept := readers[:0]
			for _, r := range readers {
				if r.offer(value) {
					kept = append(kept, r)
				}
			}
			clear(readers[len(kept):])
			readers = kept
		case <-f.done:
			return
		}
	}
}

// gone says whether nobody reads any more.
func (r *reader[T]) gone() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// offer gives the reader an item, in the place of its oldest where it has too many. It says whether there is a reader
// still.
func (r *reader[T]) offer(value T) bool {
	if r.gone() {
		return false
	}
	for {
		select {
		case r.items <- item[T]{value, r.lost}:
			r.lost = 0
			return true
		default:
		}
		select {
		case oldest := <-r.items:
			r.lost += 1 + oldest.lost
		default:
		}
	}
}
