package guestconsole

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/xenstore/xenstoretest"
)

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

// A process that goes on after a crash finds xenconsoled's terminals, though xenstore names those of the crashed one.
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
