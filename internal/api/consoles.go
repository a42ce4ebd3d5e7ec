package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"github.com/zerodisc/zerodisc/internal/guarded"
)

// getConsole answers with what is kept of what a guest has said, or with the last bytes of it.
func (s *server) getConsole(_ http.ResponseWriter, r *http.Request) answer {
	g, err := s.guest(r)
	if err != nil {
		return failed(err)
	}
	limit, err := number(r, "limit", 1<<62, 0)
	if err != nil {
		return failed(err)
	}
	kept, start := s.Consoles.Log(g.UUID)
	if left := int64(len(kept)) - limit; left > 0 {
		kept, start = kept[left:], start+left
	}
	return text{kept, start}
}

// Limits of an open console.
const (
	connectTimeout = 30 * time.Second
	// consoleTimeout is how long a client may take to read: somebody may have stopped a terminal with Ctrl-S. What it
	// has not read waits in the guest's ring, which has the same size for one and for a hundred.
	consoleTimeout = 10 * time.Minute
	maxTyped       = 64 << 10 // bytes in a message
)

func (s *server) postConsole(_ http.ResponseWriter, r *http.Request) answer {
	var post ConsolePost
	g, err := s.guest(r)
	if err == nil {
		err = decode(r, &post)
	}
	switch {
	case err != nil:
		return failed(err)
	case post.Type != "" && post.Type != "console":
		return badRequest("field \"type\": there are consoles of the type \"console\" only, not %q", post.Type)
	case g.UUID == "":
		return &fault{http.StatusConflict, "guest " + g.Name + " never ran; it has no console"}
	}
	from := int64(-1)
	if post.From != nil {
		from = *post.From
	}
	open := func() (Session, error) { return s.Consoles.Open(g.UUID, from) }
	return begun(s.operations.startConsole("console of "+g.Name, g.Name, func(in map[string]chan *websocket.Conn) task {
		return func(ctx context.Context, _ func(func(*OperationMetadata))) error {
			return runConsole(ctx, in, open, !post.ReadOnly)
		}
	}))
}

// runConsole copies between a guest's console and a client until either goes.
func runConsole(ctx context.Context, in map[string]chan *websocket.Conn, open func() (Session, error), types bool,
) error {
	var data *websocket.Conn
	select {
	case data = <-in[ConsoleData]:
	case <-time.After(connectTimeout):
		return errors.New("nobody has opened the console's websocket")
	case <-ctx.Done():
		return ctx.Err()
	}
	defer data.CloseNow()
	session, err := open()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = session.Close() })
	defer stop()
	guarded.Go(ctx, func() { obey(ctx, in[ConsoleControl]) })
	guarded.Go(ctx, func() {
		defer cancel()
		typeTo(ctx, session, data, types)
	})
	err = show(ctx, data, session)
	_ = data.Close(websocket.StatusNormalClosure, "")
	return err
}

// show sends what a guest says until the session, the client or ctx ends, none of which is an error.
func show(ctx context.Context, to *websocket.Conn, from Session) error {
	b := make([]byte, 16<<10)
	for {
		n, err := from.Read(b)
		if n > 0 {
			writing, cancel := context.WithTimeout(ctx, consoleTimeout)
			failed := to.Write(writing, websocket.MessageBinary, b[:n])
			cancel()
			if failed != nil {
				return nil // the client has gone
			}
		}
		switch {
		case ctx.Err() != nil, errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// typeTo gives a guest what the client types, until the client goes. The session goes on without the guest: it may be
// started anew.
func typeTo(ctx context.Context, to Session, from *websocket.Conn, types bool) {
	from.SetReadLimit(maxTyped)
	for {
		_, typed, err := from.Read(ctx)
		if err != nil {
			return
		}
		if !types {
			continue
		}
		_, _ = to.Write(typed) // a guest that does not run, or does not read, misses it, as on any serial line
	}
}

// obey reads what comes on a console's websocket "control", where there is one. The window's size is taken and not
// passed on, as Xen's console has none; a signal would be for a program, and there is none at the other end but the
// guest. Anything else ends the websocket.
func obey(ctx context.Context, in <-chan *websocket.Conn) {
	var control *websocket.Conn
	select {
	case control = <-in:
	case <-ctx.Done():
		return
	}
	defer control.CloseNow()
	control.SetReadLimit(4 << 10)
	for {
		_, text, err := control.Read(ctx)
		if err != nil {
			return
		}
		var command ConsoleCommand
		err = json.Unmarshal(text, &command)
		if err != nil || command.Command != "window-resize" && command.Command != "signal" {
			_ = control.Close(websocket.StatusUnsupportedData, "want window-resize or signal")
			return
		}
	}
}
