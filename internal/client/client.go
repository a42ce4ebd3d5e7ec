// Package client talks to the host's API (package api) over its unix socket. The command guest does everything through
// it.
package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/zerodisc/zerodisc/internal/api"
)

// Client is a connection to a host's API. Its methods may be called from any goroutine.
type Client struct {
	http   *http.Client
	socket string
}

// maxAnswer is the largest answer that is read, bytes.
const maxAnswer = 64 << 20

// ErrUnreachable is the error of a host whose API does not answer.
var ErrUnreachable = errors.New("the host's API does not answer")

// Error is what the API says is wrong.
type Error struct {
	Code int // as HTTP's
	Text string
}

func (e *Error) Error() string { return e.Text }

// New returns a client of the API whose socket is the file.
func New(socket string) *Client {
	var dialer net.Dialer
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
		IdleConnTimeout: 10 * time.Second,
	}}}
}

// address is where a path is for net/http, which wants a host's name.
func address(path string) string { return "http://zerodisc" + path }

// GuestPath is the path of a guest, and of what is below it.
func GuestPath(name, below string) string {
	return api.Version + "/guests/" + url.PathEscape(name) + below
}

// Get reads what is at a path.
func (c *Client) Get(ctx context.Context, path string, into any) error {
	_, err := c.ask(ctx, http.MethodGet, path, nil, into)
	return err
}

// Order begins an operation.
func (c *Client) Order(ctx context.Context, method, path string, body any) (api.Operation, error) {
	var op api.Operation
	_, err := c.ask(ctx, method, path, body, &op)
	return op, err
}

// ask sends a request and reads the metadata of the answer.
func (c *Client) ask(ctx context.Context, method, path string, body, into any) (api.Envelope, error) {
	e := api.Envelope{Metadata: cmp.Or(into, any(new(json.RawMessage)))}
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return e, err
		}
		content = bytes.NewReader(text)
	}
	answer, err := c.send(ctx, method, path, content)
	if err != nil {
		return e, err
	}
	defer answer.Body.Close()
	text, err := read(answer)
	if err == nil {
		err = json.Unmarshal(text, &e)
	}
	if err != nil {
		return e, fmt.Errorf("read the API's answer: %w", err)
	}
	if e.Type == api.TypeError {
		return e, &Error{Code: e.ErrorCode, Text: e.Error}
	}
	return e, nil
}

// read reads an answer into memory that need not grow: the first touch of each page costs a PV dom0 as much as a few
// system calls.
func read(answer *http.Response) ([]byte, error) {
	var text bytes.Buffer
	text.Grow(int(min(max(answer.ContentLength, 0), maxAnswer)) + bytes.MinRead)
	_, err := text.ReadFrom(io.LimitReader(answer.Body, maxAnswer))
	return text.Bytes(), err
}

func (c *Client) send(ctx context.Context, method, path string, content io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, address(path), content)
	if err != nil {
		return nil, err
	}
	if content != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	return answer, nil
}

// unreachable is the error where nothing has answered.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err // without the address, which is made up
	}
	return fmt.Errorf("%w (%s): %w; zerodisc's dom0 has it, once Xen's daemons run", ErrUnreachable, c.socket, err)
}

// roomForGuests is so much that the list of a usual host need not grow while it is decoded; see read.
const roomForGuests = 64

// Guests returns all guests, with what they use where usage is set.
func (c *Client) Guests(ctx context.Context, usage bool) (guests []api.Guest, err error) {
	path := api.Version + "/guests?recursion=1"
	if usage {
		path = api.Version + "/guests?recursion=2"
	}
	guests = make([]api.Guest, 0, roomForGuests)
	return guests, c.Get(ctx, path, &guests)
}

// Wait returns an operation when it has ended, or as it stands after a while.
func (c *Client) Wait(ctx context.Context, id string, seconds int) (op api.Operation, err error) {
	return op, c.Get(ctx, api.Version+"/operations/"+id+"/wait?timeout="+strconv.Itoa(seconds), &op)
}

// Cancel calls an operation off.
func (c *Client) Cancel(ctx context.Context, id string) error {
	_, err := c.ask(ctx, http.MethodDelete, api.Version+"/operations/"+id, nil, nil)
	return err
}

// ConsoleText returns what is kept of what a guest has said, the last limit bytes of it, and the offset of its first
// byte in all that the guest ever said. A limit below 0 is none.
func (c *Client) ConsoleText(ctx context.Context, name string, limit int) (text []byte, start int64, err error) {
	path := GuestPath(name, "/console")
	if limit >= 0 {
		path += "?limit=" + strconv.Itoa(limit)
	}
	answer, err := c.send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, 0, err
	}
	defer answer.Body.Close()
	text, err = read(answer)
	if err != nil {
		return nil, 0, fmt.Errorf("read the guest's console: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		var e api.Envelope
		if err := json.Unmarshal(text, &e); err != nil {
			return nil, 0, fmt.Errorf("read the API's answer: %w", err)
		}
		return nil, 0, &Error{Code: e.ErrorCode, Text: e.Error}
	}
	start, err = strconv.ParseInt(answer.Header.Get(api.OffsetHeader), 10, 64)
	return text, start, err
}
