package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/logs"
)

// dial opens a websocket.
func (w *world) dial(path string) (*websocket.Conn, error) {
	conn, _, err := websocket.Dial(w.t.Context(), "http://host"+path, &websocket.DialOptions{HTTPClient: w.client})
	return conn, err
}

func (w *world) mustDial(path string) *websocket.Conn {
	w.t.Helper()
	conn, err := w.dial(path)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.CloseNow() })
	return conn
}

func TestEvents(t *testing.T) {
	w := newWorld(t, Control)
	conn := w.mustDial("/1.0/events?type=lifecycle,operation,logging")
	w.order("PUT", "/1.0/guests/web/state", `{"action":"pause"}`)
	seen := map[string]bool{}
	w.state.Tell(host.Gone{Domid: 3})
	w.logs.Add("init", logs.Info, `msg="guest running" guest=web`)
	for !seen["operation Success"] || !seen["logging guest running"] || !seen["lifecycle guest-stopped"] {
		_, text, err := conn.Read(t.Context())
		if err != nil {
			t.Fatal(err, seen)
		}
		var e struct {
			Event
			Metadata struct{ Action, Status, Message string } `json:"metadata"`
		}
		if err := json.Unmarshal(text, &e); err != nil {
			t.Fatal(err)
		}
		seen[strings.TrimSpace(e.Type+" "+e.Metadata.Action+e.Metadata.Status+e.Metadata.Message)] = true
	}
}

// TestEventsUnread has a client that never reads. The host goes on, and others get their events.
func TestEventsUnread(t *testing.T) {
	t.Parallel() // it takes writeTimeout
	w := newWorld(t, Control)
	w.mustDial("/1.0/events?type=lifecycle,operation")
	reader := w.mustDial("/1.0/events?type=lifecycle")
	for i := range 5000 {
		w.state.Tell(host.Problem{Text: fmt.Sprint(i)})
		w.state.Tell(host.VolumeGone{Device: strings.Repeat("x", 1000)})
	}
	w.state.Tell(host.Gone{Domid: 3})
	for {
		_, text, err := reader.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "guest-stopped") {
			break
		}
	}
	if line := <-w.logged; !strings.Contains(line, "a client reads no events") {
		t.Error(line)
	}
}

// TestFeedLosesTheOldest has a slow reader know how much it missed.
func TestFeedLosesTheOldest(t *testing.T) {
	r := &reader[int]{done: make(chan struct{}), items: make(chan item[int], feedLength)}
	for i := range feedLength + 10 {
		r.offer(i)
	}
	sum, first := 0, -1
	for range feedLength {
		i := <-r.items
		if first < 0 {
			first = i.value
		}
		sum += i.lost
	}
	if r.offer(0); first != 10 || sum+(<-r.items).lost != 10 {
		t.Errorf("first is %d, %d are missed", first, sum)
	}
}

func TestConsole(t *testing.T) {
	w := newWorld(t, Control)
	answer, text := w.ask("GET", "/1.0/guests/web/console", "")
	if text != "hello\r\nworld" || answer.Header.Get(OffsetHeader) != "100" {
		t.Errorf("%q from %q", text, answer.Header.Get(OffsetHeader))
	}
	answer, text = w.ask("GET", "/1.0/guests/web/console?limit=5", "")
	if text != "world" || answer.Header.Get(OffsetHeader) != "107" {
		t.Errorf("%q from %q", text, answer.Header.Get(OffsetHeader))
	}
	_, text = w.ask("POST", "/1.0/guests/web/console", `{"width":80,"height":24,"type":"console","from":107}`)
	op := metadata[Operation](t, text)
	path := func(name string) string {
		return operationPath(op.ID) + "/websocket?secret=" + op.Metadata.FDs[name]
	}
	if _, err := w.dial(path("x") + "y"); err == nil {
		t.Error("a wrong secret opens it")
	}
	control, data := w.mustDial(path(ConsoleControl)), w.mustDial(path(ConsoleData))
	if _, err := w.dial(path(ConsoleData)); err == nil {
		t.Error("a secret opens it twice")
	}
	w.says.Write([]byte("!"))
	got := ""
	for got != "world!" {
		kind, b, err := data.Read(t.Context())
		if err != nil || kind != websocket.MessageBinary {
			t.Fatal(kind, err, got)
		}
		got += string(b)
	}
	resize := []byte(`{"command":"window-resize","args":{"width":"80","height":"24"}}`)
	for _, message := range [][]byte{resize, []byte(`{"command":"signal","signal":2}`), resize} {
		if err := control.Write(t.Context(), websocket.MessageText, message); err != nil {
			t.Error(err)
		}
	}
	if err := data.Write(t.Context(), websocket.MessageBinary, []byte("ls\n")); err != nil {
		t.Error(err)
	}
	if typed := <-w.hub.typed; typed != "ls\n" {
		t.Errorf("typed %q", typed)
	}
	if err := data.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
	_, text = w.ask("GET", operationPath(op.ID)+"/wait", "")
	if op := metadata[Operation](t, text); op.StatusCode != OperationSuccess {
		t.Errorf("%+v", op)
	}
}
