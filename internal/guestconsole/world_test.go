package guestconsole

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/xen"
	"github.com/zerodisc/zerodisc/internal/xenstore/xenstoretest"
)

// patience is for what happens in milliseconds on an idle machine.
const patience = 30 * time.Second

// world is a hub with a state, an observer, and a store that a fake xenconsoled writes to.
type world struct {
	*testing.T
	server *xenstoretest.Server
	state  *host.State
	hub    *Hub
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, server: xenstoretest.New()}
	w.server.Set("/local/domain/0/name", "Domain-0")
	w.state = host.New(t.Context(), "test")
	w.hub = w.newHub(t.Context())
	return w
}

// newHub returns a hub that works on the world's store.
func (w *world) newHub(ctx context.Context) *Hub {
	w.Helper()
	store := w.server.Client(w)
	hub, err := New(ctx, store, w.state, slog.New(slog.DiscardHandler))
	if err != nil {
		w.Fatal(err)
	}
	observer := xen.Observer{
		Store: store, Tell: w.state.Tell, Changed: func() {}, Came: func(int, string) {}, Console: hub.Console,
		Log: slog.New(slog.DiscardHandler),
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = observer.Run(ctx)
	}()
	w.Cleanup(func() { <-ended })
	return hub
}

// guest is a domain with the terminal that a fake xenconsoled has made for it.
type guest struct {
	*world
	home   string
	uuid   string
	master *os.File
	slave  *os.File // which xenconsoled keeps open
}

// start makes a domain of the guest called name, and its console.
func (w *world) start(domid int, name string) *guest {
	w.Helper()
	g := &guest{world: w, home: fmt.Sprintf("/local/domain/%d", domid), uuid: "uuid-of-" + name}
	w.server.SetAll(g.home, map[string]string{"vm": "/vm/" + g.uuid, "name": name, "console/tty": ""})
	w.server.Fire("@introduceDomain")
	g.connect()
	return g
}

// connect is what xenconsoled does when it sees a domain, or when it was started again.
func (g *guest) connect() {
	g.Helper()
	master, path, err := openPTY()
	if err != nil {
		g.Skipf("no pseudo-terminals here: %v", err)
	}
	slave, err := openSlave(path)
	if err != nil {
		g.Skipf("no pseudo-terminals here: %v", err)
	}
	g.master, g.slave = master, slave
	g.Cleanup(g.hangUp)
	g.server.Set(g.home+"/"+ConsoleNode, path)
	g.await("the hub's terminal is in xenstore", func() bool { return g.tty() != path })
}

// hangUp is what becomes of the terminal when xenconsoled dies or the domain ends.
func (g *guest) hangUp() {
	g.slave.Close()
	g.master.Close()
}

// end ends the domain, as libxl does: what it said last is on its way.
func (g *guest) end() {
	g.hangUp()
	g.server.Remove(g.home)
	g.server.Fire("@releaseDomain")
}

// tty is the terminal that `xl console` opens.
func (g *guest) tty() string {
	path, _ := g.server.Get(g.home + "/" + ConsoleNode)
	return path
}

func (g *guest) say(text string) {
	g.Helper()
	_ = g.master.SetWriteDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(g.master, text); err != nil {
		g.Fatal(err)
	}
}

func (w *world) await(what string, is func() bool) {
	w.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if is() {
			return
		}
	}
	w.Fatalf("waited for: %s", what)
}

// awaitLog waits until what is kept of a guest ends so.
func (g *guest) awaitLog(end string) {
	g.Helper()
	g.await(fmt.Sprintf("the log ends with %q", end), func() bool {
		text, _ := g.hub.Log(g.uuid)
		return strings.HasSuffix(string(text), end)
	})
}

func (g *guest) open(from int64) *Session {
	g.Helper()
	s, err := g.hub.Open(g.uuid, from)
	if err != nil {
		g.Fatal(err)
	}
	g.Cleanup(func() { s.Close() })
	return s
}

// expect reads until it has what is wanted.
func expect(t testing.TB, r io.Reader, want string) {
	t.Helper()
	if file, ok := r.(*os.File); ok {
		_ = file.SetReadDeadline(time.Now().Add(patience))
	}
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("read %.200q, %v, want %.200q", got[:n], err, want)
	}
}

// readUntil reads a terminal until it has shown end.
func readUntil(t testing.TB, terminal *os.File, end string) string {
	t.Helper()
	_ = terminal.SetReadDeadline(time.Now().Add(patience))
	var shown []byte
	for part := make([]byte, 4096); !bytes.HasSuffix(shown, []byte(end)); {
		n, err := terminal.Read(part)
		shown = append(shown, part[:n]...)
		if err != nil {
			t.Fatalf("%v after %.200q", err, shown)
		}
	}
	return string(shown)
}
