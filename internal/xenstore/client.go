// Package xenstore is a client of Xen's configuration store, over xenstored's socket in dom0 and
// over the kernel's xenbus device in a guest.
//
// The protocol is that of docs/misc/xenstore.txt and xen/include/public/io/xs_wire.h of the Xen
// sources (4.20): frames of a 16-byte header and at most 4,096 bytes of payload; replies are
// matched to requests by number; watch events arrive between them.
package xenstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
)

// Where xenstored listens in dom0 (XEN_RUN_STORED, with and without the /var/run link) and
// where the kernel offers the store to a guest's processes.
const (
	Socket    = "/run/xenstored/socket"
	OldSocket = "/var/run/xenstored/socket"
	Device    = "/dev/xen/xenbus"
)

// Client is one connection to xenstored. Its methods, those of handle included, may be called
// from any goroutine; requests of several goroutines are under way at the same time.
type Client struct {
	handle
	rwc   io.ReadWriteCloser
	limit int // largest request payload, bytes

	writing sync.Mutex // held while a frame goes out, so that frames do not mix

	mu      sync.Mutex // guards what follows
	number  uint32     // of the latest request
	token   uint64     // of the latest watch
	waiting map[uint32]chan message
	watches map[string]*registration // by token
	err     error                    // why the connection ended; nil while it lives
	done    chan struct{}            // closed when err is set
}

// Open connects to xenstored: over its socket where there is one (dom0), else over the kernel's
// device (a guest).
func Open(ctx context.Context) (*Client, error) {
	var failures []error
	for _, path := range []string{Socket, OldSocket} {
		client, err := Dial(ctx, path)
		if err == nil {
			return client, nil
		}
		failures = append(failures, err)
	}
	client, err := OpenDevice(Device)
	if err == nil {
		return client, nil
	}
	return nil, fmt.Errorf("open xenstore (is xenstored running, and this kernel under Xen?): %w",
		errors.Join(append(failures, err)...))
}

// Dial connects to xenstored's socket.
func Dial(ctx context.Context, path string) (*Client, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("dial xenstored: %w", err)
	}
	return NewClient(conn), nil
}

// OpenDevice opens the kernel's xenbus device. Its requests are limited to 4,080 bytes.
func OpenDevice(path string) (*Client, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open xenbus: %w", err)
	}
	return newClient(file, devicePayloadMax), nil
}

// NewClient speaks the protocol over rwc, which it owns from now on. Closing rwc must end a
// Read that is under way.
func NewClient(rwc io.ReadWriteCloser) *Client {
	return newClient(rwc, PayloadMax)
}

func newClient(rwc io.ReadWriteCloser, limit int) *Client {
	c := &Client{
		rwc:     rwc,
		limit:   limit,
		waiting: map[uint32]chan message{},
		watches: map[string]*registration{},
		done:    make(chan struct{}),
	}
	c.handle = handle{client: c}
	go c.receive()
	return c
}

// Close ends the connection: requests under way return ErrClosed and watchers' channels close.
func (c *Client) Close() error {
	c.fail(ErrClosed)
	return nil
}

// Done is closed when the connection has ended.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err says why the connection ended, nil while it lives. It matches ErrClosed.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// fail ends the connection once; the first cause stays.
func (c *Client) fail(cause error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = cause
	close(c.done) // ends the requests under way and the watchers
	c.mu.Unlock()
	c.rwc.Close()
}

// receive is the one reader. It never waits for anybody but the peer, so that a slow consumer
// of events cannot hold up the reply it may itself be waiting for.
func (c *Client) receive() {
	for {
		m, err := readMessage(c.rwc)
		if err != nil {
			c.fail(fmt.Errorf("%w: read from xenstored: %w", ErrClosed, err))
			return
		}
		if m.kind == typeWatchEvent {
			c.event(m.payload)
			continue
		}
		c.answer(m)
	}
}

// answer hands a reply to whoever waits for it. One that nobody waits for any more (its context
// ended) is dropped.
func (c *Client) answer(m message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if reply, ok := c.waiting[m.request]; ok {
		delete(c.waiting, m.request)
		reply <- m // has room: one reply a request
	}
}

// request sends one message and waits for its reply's payload. The context ends the waiting,
// not the request, which xenstored may still carry out.
func (c *Client) request(ctx context.Context, kind, tx uint32, payload []byte) ([]byte, error) {
	if len(payload) > c.limit {
		return nil, fmt.Errorf("payload of %d bytes, limit %d: %w", len(payload), c.limit, ErrTooLong)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	number, reply, err := c.expect()
	if err != nil {
		return nil, err
	}
	defer c.forget(number)
	if err := c.send(message{kind: kind, request: number, tx: tx, payload: payload}); err != nil {
		return nil, err
	}
	select {
	case m := <-reply:
		return decodeReply(m, kind)
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.done:
		return nil, c.Err()
	}
}

// decodeReply checks that a reply is of the request's type.
func decodeReply(m message, kind uint32) ([]byte, error) {
	switch m.kind {
	case kind:
		return m.payload, nil
	case typeError:
		return nil, decodeError(m.payload)
	}
	return nil, fmt.Errorf("xenstored answered a request of type %d with type %d", kind, m.kind)
}

// expect reserves a request number and the channel its reply will arrive on.
func (c *Client) expect() (uint32, chan message, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, nil, c.err
	}
	c.number++
	for c.waiting[c.number] != nil {
		c.number++ // wrapped around to a number still in use
	}
	reply := make(chan message, 1)
	c.waiting[c.number] = reply
	return c.number, reply, nil
}

func (c *Client) forget(number uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, number)
}

// send writes a frame in one Write, as the kernel's device asks for. A refusal of the whole
// frame leaves the connection in order (the device refuses single requests that way; on a socket
// the reader notices the end); half a frame does not.
func (c *Client) send(m message) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	sent, err := c.rwc.Write(m.encode())
	if err == nil {
		return nil
	}
	if sent > 0 {
		c.fail(fmt.Errorf("%w: write to xenstored: %w", ErrClosed, err))
	}
	if closed := c.Err(); closed != nil {
		return closed
	}
	return fmt.Errorf("write to xenstored: %w", err)
}

// checkPath refuses what would break the framing or what xenstored refuses anyway.
func checkPath(path string) error {
	switch {
	case path == "":
		return errors.New("empty path")
	case strings.ContainsRune(path, 0):
		return errors.New("path contains a NUL byte")
	case len(path) > PathMax:
		return fmt.Errorf("path of %d bytes, limit %d: %w", len(path), PathMax, ErrTooLong)
	}
	return nil
}
