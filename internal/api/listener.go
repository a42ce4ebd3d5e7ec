package api

import (
	"errors"
	"net"
	"os"
	"time"
)

// bounded is a listener that has so many connections at a time. One more is told so and closed: were it left waiting,
// somebody who opens a thousand would keep all others from knowing why they get no answer.
type bounded struct {
	net.Listener
	slots      chan struct{}
	complaints *complaints
}

func newBounded(l net.Listener, limit int, c *complaints) *bounded {
	return &bounded{l, make(chan struct{}, limit), c}
}

const refusal = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" +
	`{"type":"error","error":"too many connections to the API; close some","error_code":503}` + "\n"

// acceptPause is how long it is until the next try where a connection cannot be accepted, for lack of memory say.
const acceptPause = 100 * time.Millisecond

func (b *bounded) Accept() (net.Conn, error) {
	for {
		conn, err := b.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		if err != nil {
			time.Sleep(acceptPause)
			continue
		}
		select {
		case b.slots <- struct{}{}:
			return &slotted{Conn: conn, slots: b.slots}, nil
		default:
		}
		b.complaints.say("clients have too many connections open: more are refused", "close some; ps shows what runs")
		_ = conn.SetDeadline(time.Now().Add(time.Second)) // a new connection has room for it
		_, _ = conn.Write([]byte(refusal))
		_ = conn.Close()
	}
}

// slotted is a connection that gives its slot back.
type slotted struct {
	net.Conn
	slots chan struct{}
}

// Close closes the connection; the first time, which alone succeeds, frees its slot.
func (c *slotted) Close() error {
	err := c.Conn.Close()
	if !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrClosed) {
		<-c.slots
	}
	return err
}
