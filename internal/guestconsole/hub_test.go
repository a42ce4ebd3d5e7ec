package guestconsole

import (
	"bytes"
	"context"
	"errors"
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

func TestReadersStealNothing(t *testing.T) {
	w := newWorld(t)
	g := w.start(1, "web")
	g.say("first words\r\n")
	g.awaitLog("first words\r\n")
	a, b, late := g.open(0), g.open(6), g.open(FromNow)
	g.say("login: ")
	expect(t, a, "first words\r\nlogin: ")
	expect(t, b, "words\r\nlogin: ")
	expect(t, late, "login: ")

	if _, err := a.Write([]byte("root\r")); err != nil {
		t.Fatal(err)
	}
	expect(t, g.master, "root\r")
	if _, err := w.hub.Open("nobody", 0); !errors.Is(err, ErrNoGuest) {
		t.Errorf("Open of an unknown guest: %v", err)
	}
	a.Close()
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read after Close: %v", err)
	}
	if _, err := a.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write after Close: %v", err)
	}
}

// `xl console` opens what xenstore names. It shows the last screenful first, and all that comes, as the others do.
func TestXLConsole(t *testing.T) {
	w := newWorld(t)
	g := w.start(1, "web")
	g.say("old line\r\n" + strings.Repeat("0123456789abcdef\r\n", 200))
	g.awaitLog("f\r\n")
	for round := range 3 { // one after the other
		var xl *os.File
		w.await("a screenful is shown", func() bool { // all, to one that comes before the other's end was seen
			var err error
			if xl, err = openSlave(g.tty()); err != nil {
				t.Fatal(err)
			}
			g.say(fmt.Sprintf("more %d\r\n", round))
			shown := readUntil(t, xl, fmt.Sprintf("more %d\r\n", round))
			if strings.HasPrefix(shown, "0123456789abcdef\r\n") && len(shown) <= screenful+20 {
				return true
			}
			xl.Close()
			return false
		})
		if _, err := xl.Write([]byte("ls\r")); err != nil {
			t.Fatal(err)
		}
		expect(t, g.master, "ls\r")
		g.say("not read by this one\r\n")
		g.awaitLog("this one\r\n")
		xl.Close()
		g.say(strings.Repeat("0123456789abcdef\r\n", 200))
	}
	g.awaitLog("f\r\n")
	text, start := w.hub.Log(g.uuid)
	if start != 0 || bytes.Count(text, []byte("not read")) != 3 {
		t.Errorf("the log from %d on has %d lines", start, bytes.Count(text, []byte("not read")))
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

// A flood is not held up by those who do not read, and they are told how much they have missed.
func TestFlood(t *testing.T) {
	w := newWorld(t)
	g := w.start(1, "noisy")
	slow := g.open(0)
	xl, err := openSlave(g.tty()) // reads nothing
	if err != nil {
		t.Fatal(err)
	}
	defer xl.Close()
	const total = 10 * ringBytes
	for n := 0; n < total; n += 1024 {
		g.say(string(numbered(int64(n), 1024)))
	}
	g.say("end")
	g.awaitLog("end")
	text, start := w.hub.Log(g.uuid)
	if len(text) != ringBytes || start != total+3-ringBytes {
		t.Errorf("%d bytes are kept, from %d on", len(text), start)
	}
	p := make([]byte, 100)
	if n, err := slow.Read(p); n != 100 || err != nil || !bytes.Equal(p, numbered(start, 100)) {
		t.Errorf("the slow one reads %d bytes, %v", n, err)
	}
	if lost, again := slow.Lost(), slow.Lost(); lost != start || again != 0 {
		t.Errorf("lost %d, then %d, want %d", lost, again, start)
	}
}

// A guest that does not read what is typed does not hold up others for long, and its writer is told.
func TestTypingToADeafGuest(t *testing.T) {
	w := newWorld(t)
	g := w.start(1, "deaf")
	s := g.open(0)
	w.await("nothing more can be typed", func() bool {
		_, err := s.Write(make([]byte, 4096))
		return errors.Is(err, ErrBusy)
	})
	g.end()
	w.await("there is no domain", func() bool {
		_, err := s.Write([]byte("x"))
		return errors.Is(err, ErrNoDomain)
	})
}

// What a guest says is kept through its restarts, with its last words, and sessions go on.
func TestRestart(t *testing.T) {
	w := newWorld(t)
	g := w.start(1, "web")
	s := g.open(0)
	g.say("boot\r\n")
	expect(t, s, "boot\r\n")
	g.say("last words")
	g.awaitLog("last words") // as xl's own pause before it destroys a domain lets them arrive
	g.end()
	w.await("the guest has stopped", func() bool { return w.state.Snapshot().Guests[0].Domid == 0 })
	next := w.start(2, "web")
	next.say("boot again")
	expect(t, s, "last wordsboot again")
	xl, err := openSlave(next.tty())
	if err != nil {
		t.Fatal(err)
	}
	defer xl.Close()
	expect(t, xl, "boot again") // it is about the domain
	if got, want := fmt.Sprint(w.hub.Domains(g.uuid)), "[{1 0} {2 16}]"; got != want {
		t.Errorf("domains %s, want %s", got, want)
	}
	if _, err := s.Write([]byte("ls")); err != nil {
		t.Fatal(err)
	}
	expect(t, next.master, "ls")
}

// For a moment a guest may have two domains. What is typed goes to the new one.
func TestTwoDomains(t *testing.T) {
	w := newWorld(t)
	old := w.start(1, "web")
	old.say("old")
	old.awaitLog("old")
	next := w.start(2, "web")
	next.say("new")
	next.awaitLog("new")
	if _, err := next.open(0).Write([]byte("ls")); err != nil {
		t.Fatal(err)
	}
	expect(t, next.master, "ls")
	old.say("bye")
	old.awaitLog("oldnewbye")
}

// Another xenconsoled makes another terminal.
func TestXenconsoledComesBack(t *testing.T) {
	w := newWorld(t)
	g := w.start(1, "web")
	g.say("before ")
	g.awaitLog("before ")
	ours := g.tty()
	xl, err := openSlave(ours)
	if err != nil {
		t.Fatal(err)
	}
	defer xl.Close()
	expect(t, xl, "before ")
	g.hangUp()
	g.connect()
	if g.tty() != ours {
		t.Errorf("xl's terminal was %s and is %s", ours, g.tty())
	}
	g.say("after")
	expect(t, xl, "after")
	if _, err := xl.Write([]byte("ls")); err != nil {
		t.Fatal(err)
	}
	expect(t, g.master, "ls")
}

// The keeper finds xenconsoled's terminals though xenstore names those of a process that has crashed.
func TestAnotherHubTakesOver(t *testing.T) {
	w := &world{T: t, server: xenstoretest.New(), state: host.New(t.Context(), "test")}
	w.server.Set("/local/domain/0/name", "Domain-0")
	ctx, crash := context.WithCancel(t.Context())
	w.hub = w.newHub(ctx)
	g := w.start(1, "web")
	g.say("before ")
	g.awaitLog("before ")
	theirs := g.tty()
	crash()
	w.await("the first hub's terminal is gone", func() bool {
		slave, err := openSlave(theirs)
		if err == nil {
			slave.Close()
		}
		return err != nil
	})
	g.say("meanwhile ")
	w.hub = w.newHub(t.Context())
	g.say("after")
	g.awaitLog("meanwhile after")
	xl, err := openSlave(g.tty())
	if err != nil {
		t.Fatal(err)
	}
	defer xl.Close()
	expect(t, xl, "meanwhile after")
}

// What is typed goes to an HVM guest's serial port, and what both consoles say is kept.
func TestSerialPort(t *testing.T) {
	w := newWorld(t)
	g := w.start(1, "hvm")
	serial, path, err := openPTY()
	if err != nil {
		t.Fatal(err)
	}
	defer serial.Close()
	slave, err := openSlave(path)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	w.server.Set(g.home+"/"+SerialNode, path)
	w.await("the serial port has the hub's terminal", func() bool {
		now, _ := w.server.Get(g.home + "/" + SerialNode)
		return now != path
	})
	if _, err := serial.WriteString("BIOS "); err != nil {
		t.Fatal(err)
	}
	g.awaitLog("BIOS ")
	g.say("hvc0")
	g.awaitLog("BIOS hvc0")
	if _, err := g.open(0).Write([]byte("ls")); err != nil {
		t.Fatal(err)
	}
	expect(t, serial, "ls")
	if n := len(w.hub.Domains(g.uuid)); n != 1 {
		t.Errorf("%d domains", n)
	}
}

// A path that is no pseudo-terminal is left alone, and so is a domain that has gone.
func TestOddPaths(t *testing.T) {
	for _, path := range []string{
		"/dev/tty1", "/dev/pts/ptmx", "/dev/pts/../mem", "/etc/passwd", "", "/dev/pts/99999",
	} {
		if file, err := openSlave(path); err == nil {
			file.Close()
			t.Errorf("%q was opened", path)
		}
	}
}

// A session of a guest that the state has forgotten ends once all is read.
func TestForgottenGuest(t *testing.T) {
	w := newWorld(t)
	g := w.start(1, "web")
	s := g.open(0)
	g.say("bye")
	g.awaitLog("bye")
	g.end()
	w.await("the guest has stopped", func() bool { return w.state.Snapshot().Guests[0].Domid == 0 })
	other := w.start(2, "other")
	other.say("x")
	other.awaitLog("x")
	w.server.Set(other.home+"/name", "web") // the ended one loses its line to the one that has its name now
	expect(t, s, "bye")
	if _, err := s.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Read: %v", err)
	}
	if _, err := w.hub.Open(g.uuid, 0); !errors.Is(err, ErrNoGuest) {
		t.Errorf("Open: %v", err)
	}
}

// Guests that ended long ago keep no memory.
func TestSilentGuestsAreBounded(t *testing.T) {
	w := newWorld(t)
	var all []*guest
	for i := range maxSilent + 2 {
		g := w.start(i+1, fmt.Sprint("g", i))
		g.say("x")
		g.awaitLog("x")
		all = append(all, g)
	}
	for _, g := range all {
		g.end()
		w.await("a line ended", func() bool {
			_, quiet := w.hub.existing(g.uuid).quiet()
			return quiet
		})
		w.await("the state knows", func() bool { return w.state.Snapshot().ByUUID(g.uuid).Domid == 0 })
	}
	w.state.Tell(host.Problem{Text: "anything"})
	w.await("the first two have nothing", func() bool {
		a, _ := w.hub.Log(all[0].uuid)
		b, _ := w.hub.Log(all[1].uuid)
		return len(a)+len(b) == 0
	})
	if text, start := w.hub.Log(all[2].uuid); string(text) != "x" || start != 0 {
		t.Errorf("the third has %q at %d", text, start)
	}
	if _, start := w.hub.Log(all[0].uuid); start != 1 {
		t.Errorf("the first starts at %d", start)
	}
}
