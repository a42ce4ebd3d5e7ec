package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/coder/websocket"

	"github.com/zerodisc/zerodisc/internal/api"
)

// Console is an open console of a guest's. Read, Write and Resize may be called from a goroutine each.
type Console struct {
	ctx           context.Context
	end           context.CancelFunc
	data, control *websocket.Conn
	rest          []byte // of the last message
}

// OpenConsole opens a guest's console, which is open until ctx ends or it is closed.
func (c *Client) OpenConsole(ctx context.Context, name string, how api.ConsolePost) (*Console, error) {
	op, err := c.Order(ctx, http.MethodPost, GuestPath(name, "/console"), how)
	if err != nil {
		return nil, err
	}
	control, err := c.dial(ctx, op, api.ConsoleControl)
	if err != nil {
		return nil, err
	}
	data, err := c.dial(ctx, op, api.ConsoleData)
	if err != nil {
		return nil, errors.Join(err, control.CloseNow())
	}
	data.SetReadLimit(maxAnswer)
	ctx, end := context.WithCancel(ctx)
	return &Console{ctx: ctx, end: end, data: data, control: control}, nil
}

// dial opens a websocket of an operation's.
func (c *Client) dial(ctx context.Context, op api.Operation, name string) (*websocket.Conn, error) {
	path := api.Version + "/operations/" + op.ID + "/websocket?secret=" + url.QueryEscape(op.Metadata.FDs[name])
	return c.websocket(ctx, path)
}

func (c *Client) websocket(ctx context.Context, path string) (*websocket.Conn, error) {
	conn, answer, err := websocket.Dial(ctx, address(path), &websocket.DialOptions{HTTPClient: c.http})
	if err == nil {
		return conn, nil
	}
	if answer == nil {
		return nil, c.unreachable(ctx, err)
	}
	var e api.Envelope
	if json.NewDecoder(answer.Body).Decode(&e) == nil && e.Type == api.TypeError {
		return nil, &Error{Code: e.ErrorCode, Text: e.Error}
	}
	return nil, err
}

// Read reads what the guest says. Its end is io.EOF.
func (c *Console) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		_, message, err := c.data.Read(c.ctx)
		if websocket.CloseStatus(err) == websocket.StatusNormalClosure {
			return 0, io.EOF
		}
		if err != nil {
			return 0, err
		}
		c.rest = message
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// Write types.
func (c *Console) Write(p []byte) (int, error) {
	return len(p), c.data.Write(c.ctx, websocket.MessageBinary, p)
}

// Resize says how large the terminal is, in characters.
func (c *Console) Resize(width, height int) error {
	text, err := json.Marshal(api.ConsoleCommand{
		Command: "window-resize", Args: map[string]string{"width": strconv.Itoa(width), "height": strconv.Itoa(height)},
	})
	if err != nil {
		return err
	}
	return c.control.Write(c.ctx, websocket.MessageText, text)
}

// Close closes the console; a Read that waits ends.
func (c *Console) Close() error {
	err := c.data.Close(websocket.StatusNormalClosure, "")
	c.end()
	return errors.Join(err, c.control.CloseNow())
}

// Events tells what happens on the host, of these types, until ctx ends or the connection does, which is an error.
func (c *Client) Events(ctx context.Context, types []string, tell func(api.Event)) error {
	conn, err := c.websocket(ctx, api.Version+"/events?type="+url.QueryEscape(strings.Join(types, ",")))
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxAnswer)
	for {
		_, text, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		var e api.Event
		if err := json.Unmarshal(text, &e); err != nil {
			return err
		}
		tell(e)
	}
}
